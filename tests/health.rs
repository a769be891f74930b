//! Healing sends nobody back to a side that cannot serve: the lost side is what it was before the run, and answers, or the traffic stays.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::model::event::{Event, Outcome, What};
use laboratory::{
    Death, Pen, drill, heal, in_virtual_time, never_interrupted, nobody_watches, run_until_death, seconds,
    stores,
};

const FAILOVER: &str = include_str!("laboratory/failover.yaml");

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/drillmaster-lose-east";
const LEDGER: &str = "/apis/apps/v1/namespaces/shop/statefulsets/ledger";
const CONFIG: &str = "/api/v1/namespaces/shop/configmaps/payments-config";

/// The traffic alone goes to west, and stays there for some minutes.
fn traffic_only() -> String {
    let (inject, _) = FAILOVER.split_once("    failover:\n").unwrap();
    let switch = "      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}\n";
    format!("{inject}    failover:\n{switch}    operate:\n      - {{id: hold, wait: {{duration: 3m}}}}\n")
}

/// The same of the payments, which a bad configuration breaks.
fn bad_config() -> String {
    let text = traffic_only()
        .replace("http://checkout.", "http://payments.")
        .replace("record: checkout.", "record: payments.");
    let (before, rest) = text.split_once("  workload:\n").unwrap();
    let (_, rest) = rest.split_once("  steadyState:").unwrap();
    let fault = "configCorruption: {namespace: shop, configMap: payments-config, key: UPSTREAM, value: \"http://nowhere.example/\", restart: payments}";
    let text = format!("{before}  steadyState:{rest}");
    text.replace("isolate: {namespaces: [shop]}", fault).replace("failsWithin: 20s", "failsWithin: 2m")
}

/// What somebody does to east by hand during the hold: a merge patch, or with no body a deletion.
async fn by_somebody(rehearsal: &Rehearsal, path: &str, patch: &str) {
    let method = if patch.is_empty() { "DELETE" } else { "PATCH" };
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/merge-patch+json");
    let request = request.body(patch.as_bytes().to_vec()).unwrap();
    rehearsal.sandbox.world().regions["east"].request::<serde_json::Value>(request).await.unwrap();
}

struct Course {
    finished: Finished,
    events: Vec<Event>,
}

impl Course {
    /// The objects whose effects of a step were taken back, in order.
    fn undone(&self, step: &str) -> Vec<String> {
        let of = |id| {
            self.events.iter().find_map(|event| match &event.what {
                What::EffectIntended { step: of, effect, .. } if effect.id == id && of.as_str() == step => {
                    effect.act.at().map(|at| at.name.to_string())
                }
                _ => None,
            })
        };
        let undone = self.events.iter().filter_map(|event| match &event.what {
            What::UndoEnded { effect, outcome: Outcome::Ok, .. } => of(*effect),
            _ => None,
        });
        undone.collect()
    }

    fn healthy(&self) -> Outcome {
        let healthy = self.events.iter().find_map(|event| match &event.what {
            What::Observed { what, outcome, .. } if what == "healthy:east" => Some(outcome.clone()),
            _ => None,
        });
        healthy.unwrap()
    }

    fn advised(&self, advice: &str) -> bool {
        self.finished.outstanding.iter().any(|left| left.advice.contains(advice))
    }
}

fn run(text: &str, hand: impl AsyncFn(&Rehearsal)) -> Course {
    let inputs = drill(text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (plan, head, pen) = (rehearsal.plan.clone(), rehearsal.head.clone(), Pen::new(Death::Never));
        let world = rehearsal.sandbox.world();
        let running = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted());
        let somebody = async {
            seconds(150).await;
            hand(&rehearsal).await;
        };
        let (finished, ()) = tokio::join!(running, somebody);
        let policies = stores(&rehearsal).into_keys().filter(|key| key.contains("networkpolicies")).count();
        assert_eq!(policies, 0, "the fault is gone");
        let events = pen.lock().unwrap().memory.events().to_vec();
        Course { finished, events }
    })
}

#[test]
fn nobody_is_sent_back_to_a_side_that_somebody_took_away_meanwhile() {
    for (patch, why) in
        [(r#"{"spec": {"replicas": 0}}"#, "wants 0 replicas and had 1"), ("", "does not exist any more")]
    {
        let course = run(&traffic_only(), async |rehearsal| by_somebody(rehearsal, LEDGER, patch).await);
        assert!(course.healthy().why().is_some_and(|said| said.contains(why)), "{:?}", course.healthy());
        assert!(course.advised(why), "{:?}", course.finished);
        assert_eq!(course.undone("traffic-west"), Vec::<String>::new());
    }
    let inputs = drill(&traffic_only());
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let whole = Pen::new(Death::Never);
        run_until_death(&rehearsal, &whole).await;
        let held =
            |event: &Event| matches!(&event.what, What::StepStarted { step } if step.as_str() == "hold");
        let events = whole.lock().unwrap().memory.events().to_vec();
        let mut events = events.iter().filter(|event| !matches!(event.what, What::Rows { .. }));
        let held = events.position(held).unwrap();
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::After(held));
        run_until_death(&rehearsal, &pen).await;
        by_somebody(&rehearsal, LEDGER, r#"{"spec": {"replicas": 0}}"#).await;
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        assert!(healed.outstanding.iter().any(|left| left.advice.contains("wants 0 replicas")), "{healed:?}");
    });
}

#[test]
fn what_the_run_made_is_removed_although_somebody_took_its_labels() {
    let unlabelled = r#"{"metadata": {"labels": null}}"#;
    let course = run(&traffic_only(), async |rehearsal| by_somebody(rehearsal, POLICY, unlabelled).await);
    assert_eq!(course.finished.outstanding, vec![]);
    assert_eq!(course.undone("traffic-west").len(), 1);
}

#[test]
fn users_go_back_when_the_pods_with_the_right_values_answer_and_the_values_are_right_before_the_pods_start() {
    let course = run(&bad_config(), async |_| {});
    assert_eq!(course.finished.outstanding, vec![]);
    assert_eq!(course.undone("lose-east"), ["payments-config", "payments"]);
    let at =
        |wanted: &dyn Fn(&What) -> bool| course.events.iter().find(|event| wanted(&event.what)).unwrap().at;
    let begun = at(&|what| matches!(what, What::UndoStarted { .. }));
    let healthy = at(&|what| matches!(what, What::Observed { what, .. } if what == "healthy:east"));
    assert!(healthy.since(begun).as_secs() >= 5, "the pods were rolled in no time");
}

#[test]
fn a_conflict_keeps_the_traffic_where_it_is() {
    let theirs = r#"{"data": {"UPSTREAM": "http://nowhere-else.example/"}}"#;
    let course = run(&bad_config(), async |rehearsal| by_somebody(rehearsal, CONFIG, theirs).await);
    assert_eq!(course.undone("traffic-west"), Vec::<String>::new());
    assert!(
        course.advised("what the fault of step lose-east changed was not put back"),
        "{:?}",
        course.finished
    );
}

#[test]
fn a_deleted_object_is_no_object_as_it_was() {
    let course = run(&bad_config(), async |rehearsal| by_somebody(rehearsal, CONFIG, "").await);
    assert!(course.advised("somebody deleted it"), "{:?}", course.finished);
    assert_eq!(course.undone("traffic-west"), Vec::<String>::new());
}
