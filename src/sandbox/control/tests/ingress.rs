//! Who serves an Ingress, and at which address.

use super::*;
use crate::sandbox::control::ingress::{assumed, without_address};
use crate::sandbox::control::{ingress_classes, ingresses};
use crate::sandbox::store::Store;

fn ingress(name: &str, class: Option<&str>) -> Value {
    let mut ingress = json!({"metadata": {"name": name}, "spec": {"rules": [{"host": "shop.example"}]}});
    if let Some(class) = class {
        ingress["spec"]["ingressClassName"] = json!(class);
    }
    ingress
}

fn annotated(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name, "annotations": {"kubernetes.io/ingress.class": class}}, "spec": {}})
}

impl Cluster {
    fn class(&mut self, name: &str, is_default: &str) {
        let annotations = json!({"ingressclass.kubernetes.io/is-default-class": is_default});
        let class =
            json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": "x/y"}});
        self.state.write(|store| store.create(&ingress_classes(), class)).unwrap();
        self.settle();
    }

    fn without_class(&mut self, name: &str) {
        let key = Key::new(&ingress_classes(), None, name);
        self.state.write(|store| store.delete(&key, &Deletion::default())).unwrap();
        self.settle();
    }

    fn ingress(&mut self, object: Value) {
        self.create(&ingresses(), object);
        self.settle();
    }

    /// The address of an Ingress, else why it has none.
    fn served(&self, name: &str) -> String {
        let key = self.key(&ingresses(), name);
        let told = |store: &Store| {
            let ingress = at(store, &key).unwrap();
            let address = read::text(ingress, "/status/loadBalancer/ingress/0/ip").to_owned();
            without_address(store, ingress).unwrap_or(address)
        };
        self.state.read(told)
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_class_each_name_has_a_controller_and_those_that_give_none_share_one() {
    let mut cluster = Cluster::new();
    cluster.ingress(ingress("a", None));
    cluster.ingress(annotated("b", "nginx"));
    cluster.ingress(ingress("c", Some("public")));
    assert_eq!(cluster.served("a"), "10.1.255.254");
    assert_eq!(cluster.served("b"), "10.1.255.253", "another controller");
    assert_eq!(cluster.served("c"), "10.1.255.252", "and another");
    let told = cluster.state.read(assumed);
    assert_eq!(told.len(), 2);
    assert!(
        told[1].starts_with("a controller of the class public for ") && told[1].contains("/c "),
        "{told:?}"
    );
    cluster.class("public", "false");
    assert_eq!(cluster.state.read(assumed), &[] as &[String]);
    assert_eq!(cluster.served("c"), "10.1.255.252");
    assert_eq!(cluster.served("a"), "it names no IngressClass, and none is the default");
    assert_eq!(cluster.served("b"), "IngressClass nginx does not exist");
    cluster.without_class("public");
    assert_eq!(cluster.served("a"), "10.1.255.254");
    assert_eq!(cluster.unsettled(), &[] as &[String]);
}

#[tokio::test(start_paused = true)]
async fn ingresses_of_one_class_share_an_address_which_it_keeps() {
    let mut cluster = Cluster::new();
    cluster.class("inner", "false");
    cluster.class("public", "false");
    cluster.ingress(ingress("a", Some("public")));
    cluster.ingress(ingress("b", Some("inner")));
    cluster.ingress(ingress("c", Some("public")));
    cluster.ingress(annotated("d", "inner"));
    let addresses = ["a", "b", "c", "d"].map(|name| cluster.served(name));
    assert_eq!(addresses, ["10.1.255.254", "10.1.255.253", "10.1.255.254", "10.1.255.253"]);
    cluster.change(&ingresses(), "a", |ingress| ingress["spec"]["ingressClassName"] = json!("inner"));
    cluster.settle();
    assert_eq!(cluster.served("a"), "10.1.255.253");
    cluster.delete(&ingresses(), "c", &Deletion::default());
    cluster.ingress(ingress("e", Some("public")));
    assert_eq!(cluster.served("e"), "10.1.255.254", "nobody else got it meanwhile");
}

#[tokio::test(start_paused = true)]
async fn of_several_default_classes_the_newest_takes_what_names_none() {
    let mut cluster = Cluster::new();
    cluster.class("old", "true");
    cluster.ingress(ingress("a", None));
    cluster.ingress(ingress("b", Some("old")));
    assert_eq!(cluster.served("a"), cluster.served("b"));
    cluster.until(10).await;
    cluster.class("new", "true");
    cluster.class("newer-but-not-default", "false");
    cluster.ingress(ingress("c", Some("new")));
    assert_eq!(cluster.served("a"), cluster.served("c"));
    assert_ne!(cluster.served("a"), cluster.served("b"));
}

#[tokio::test(start_paused = true)]
async fn services_and_controllers_never_share_an_address() {
    let mut cluster = Cluster::new();
    let asking = |name: &str, address: &str| {
        let mut service = service(name);
        service["spec"]["loadBalancerIP"] = json!(address);
        service
    };
    let address = |cluster: &Cluster, name: &str| {
        read::text(&cluster.get(&Resource::services(), name), "/status/loadBalancer/ingress/0/ip").to_owned()
    };
    cluster.create(&Resource::services(), asking("first", "10.1.255.254"));
    cluster.settle();
    cluster.ingress(ingress("a", None));
    assert_eq!(cluster.served("a"), "10.1.255.253", "the last one was asked for");
    cluster.create(&Resource::services(), asking("second", "10.1.255.253"));
    cluster.settle();
    assert_eq!(address(&cluster, "second"), "10.1.255.1", "a controller has the one that it asked for");
    for number in 0..251 {
        let mut service = service(&format!("s{number}"));
        service["spec"]["clusterIP"] = json!("None");
        cluster.create(&Resource::services(), service);
    }
    cluster.settle();
    let services = cluster.list(&Resource::services());
    let mut all: BTreeSet<String> =
        services.iter().map(|service| address(&cluster, read::name(service))).collect();
    all.insert(cluster.served("a"));
    assert_eq!((all.len(), all.contains("")), (254, false));
    cluster.class("public", "false");
    cluster.ingress(ingress("b", Some("public")));
    assert_eq!(cluster.served("b"), "the range of addresses is full");
}
