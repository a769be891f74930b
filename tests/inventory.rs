//! Reading a world: each thing once, long lists page by page, and a dead region fails its own reads only.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::sync::{Arc, Mutex};

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::inventory;
use drillmaster::model::effect::Resource;
use drillmaster::model::facts::{Answer, Read};
use drillmaster::model::name::{Name, Region};
use drillmaster::sandbox::state::Availability;
use laboratory::{Fate, Gate, drill, in_virtual_time};
use serde_json::json;

async fn prepared() -> Rehearsal {
    Rehearsal::prepare(&drill(include_str!("laboratory/failover.yaml")), 7, 0).await.unwrap()
}

fn reads(region: &str, resource: Resource) -> Read {
    Read::in_namespace(&Region::from(region), resource, &Name::from("shop"))
}

/// A gate that counts, and what it has counted.
fn counting() -> (Gate, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate::new({
        let asked = asked.clone();
        move |region, request| {
            asked.lock().unwrap().push(format!("{region} {}", request.uri().path()));
            Fate::Passes
        }
    });
    (gate, asked)
}

#[test]
fn what_is_wanted_twice_is_read_once() {
    in_virtual_time(async {
        let rehearsal = prepared().await;
        let (gate, asked) = counting();
        let world = gate.before(rehearsal.sandbox.world());
        let (pods, services) = (reads("east", Resource::pods()), reads("east", Resource::services()));
        let facts = inventory::read(&world, &[pods.clone(), services, pods.clone(), pods.clone()]).await;
        assert_eq!(facts.answers.len(), 2);
        assert_eq!(asked.lock().unwrap().len(), 2);
        assert!(matches!(&facts.answers[&pods], Ok(Answer::Objects(pods)) if !pods.is_empty()));
    });
}

#[test]
fn a_long_list_is_read_page_by_page_to_its_end() {
    in_virtual_time(async {
        let rehearsal = prepared().await;
        let (_, east) = rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == "east").unwrap();
        for number in 0..1_200 {
            let object = json!({"metadata": {"name": format!("many-{number}"), "namespace": "shop"}});
            east.write(|store| assert!(store.create(&Resource::config_maps(), object).is_ok()));
        }
        let (gate, asked) = counting();
        let maps = reads("east", Resource::config_maps());
        let facts =
            inventory::read(&gate.before(rehearsal.sandbox.world()), std::slice::from_ref(&maps)).await;
        let Ok(Answer::Objects(found)) = &facts.answers[&maps] else {
            unreachable!("{:?}", facts.answers[&maps]);
        };
        assert_eq!(found.keys().filter(|(_, name)| name.as_str().starts_with("many-")).count(), 1_200);
        assert_eq!(asked.lock().unwrap().len(), 3, "pages of 500");
    });
}

#[test]
fn a_dead_region_fails_its_own_reads_only_and_all_of_them_at_once() {
    in_virtual_time(async {
        let rehearsal = prepared().await;
        let (_, east) = rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == "east").unwrap();
        east.set_availability(Availability::BlackHole);
        let kinds = [Resource::pods(), Resource::services(), Resource::deployments()];
        let wanted: Vec<Read> = kinds
            .iter()
            .flat_map(|kind| ["east", "west"].map(|region| reads(region, kind.clone())))
            .collect();
        let began = tokio::time::Instant::now();
        let facts = inventory::read(&rehearsal.sandbox.world(), &wanted).await;
        assert_eq!(began.elapsed(), std::time::Duration::from_secs(10), "one patience, not three");
        for (read, answer) in &facts.answers {
            let is_east = matches!(read, Read::Objects { region, .. } if region.as_str() == "east");
            assert_eq!(answer.is_err(), is_east, "{read:?}: {answer:?}");
        }
        let wests: Vec<Read> = wanted.iter().skip(1).step_by(2).cloned().collect();
        let began = tokio::time::Instant::now();
        inventory::read(&rehearsal.sandbox.world(), &wests).await;
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "the living are slowed");
    });
}
