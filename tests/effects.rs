//! What an effect and its undo say of themselves is so: an end that nobody saw is unknown, what somebody else did meanwhile is noticed
//! before and after, and no side takes writes again beside another.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::journal::Memory;
use drillmaster::model::effect::{Act, Effect, EffectId, Of, Undo};
use drillmaster::model::event::{Decision, Event, Outcome, Sink, What};
use drillmaster::model::evidence::Evidence;
use drillmaster::model::plan::{Action, ProofUntil};
use drillmaster::model::time::At;
use drillmaster::sandbox::state::RegionState;
use drillmaster::sandbox::store::{Key, Write};
use drillmaster::world::{About, World};
use laboratory::{
    Death, Fate, Gate, Pen, Scripted, drill, heal, in_virtual_time, ledger_status, never_interrupted,
    nobody_watches, run_until_death, stores,
};
use serde_json::{Value, json};

const FAILOVER: &str = include_str!("laboratory/failover.yaml");

struct Course {
    finished: Finished,
    evidence: Evidence,
    events: Vec<Event>,
    /// What there is in the end.
    stores: std::collections::BTreeMap<String, Value>,
}

impl Course {
    /// How the effects of a step ended, with what they owe then.
    fn ended(&self, step: &str) -> Vec<(Outcome, Option<Undo>)> {
        let ended = |id: EffectId| {
            self.events.iter().find_map(|event| match &event.what {
                What::EffectEnded { effect, outcome, undo } if *effect == id => {
                    Some((outcome.clone(), undo.clone()))
                }
                _ => None,
            })
        };
        let ids = self.events.iter().filter_map(|event| match &event.what {
            What::EffectIntended { step: of, effect, .. } if of.as_str() == step => Some(effect.id),
            _ => None,
        });
        ids.map(|id| ended(id).unwrap()).collect()
    }

    fn outcome(&self, step: &str) -> Outcome {
        let ended = |event: &Event| match &event.what {
            What::StepEnded { step: of, outcome } if of.as_str() == step => Some(outcome.clone()),
            _ => None,
        };
        self.events.iter().find_map(ended).unwrap()
    }

    fn told(&self) -> Vec<&str> {
        self.finished.outstanding.iter().map(|left| left.what.as_str()).collect()
    }
}

/// Runs a drill whose plan and world a test has changed; who holds a step up skips it.
fn run(text: &str, change: impl FnOnce(&mut Rehearsal, &mut World)) -> Course {
    let inputs = drill(text);
    in_virtual_time(async {
        let mut rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let mut world = rehearsal.sandbox.world();
        world.people = Scripted::people(|question| match question.about {
            About::Hold { .. } => Some((5, Some(Decision::Skip { reason: "seen".to_owned() }))),
            About::Acknowledge | About::Declare | About::Task => None,
        });
        change(&mut rehearsal, &mut world);
        let pen = Arc::new(Mutex::new(Memory::default()));
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let finished =
            engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
        let (events, evidence) = {
            let memory = pen.lock().unwrap();
            (memory.events().to_vec(), memory.evidence())
        };
        Course { finished, evidence, events, stores: stores(&rehearsal) }
    })
}

fn region(rehearsal: &Rehearsal, wanted: &str) -> Arc<RegionState> {
    let mut regions = rehearsal.sandbox.regions();
    regions.find(|(name, _)| name.as_str() == wanted).unwrap().1.clone()
}

/// An object of a region by the plural of its kind and its name, with its key.
fn object(state: &RegionState, plural: &str, name: &str) -> (Key, Value) {
    state.read(|store| {
        let mut all = store.all().filter(|(key, _)| key.plural() == plural && key.name() == name);
        let (key, object) = all.next().unwrap();
        (key.clone(), object.as_ref().clone())
    })
}

/// Does something when the traffic is about to be switched to west for the first time, and decides what becomes of that request.
fn at_the_switch(
    then: impl Fn(&RegionState) + Send + 'static,
    fate: Fate,
) -> impl FnOnce(&mut Rehearsal, &mut World) {
    move |rehearsal, world| {
        let (west, done) = (region(rehearsal, "west"), AtomicBool::new(false));
        let gate = Gate::new(move |_, request| {
            let dry = request.uri().query().is_some_and(|query| query.contains("dryRun"));
            let switches = request.method() == http::Method::PATCH
                && request.uri().path().ends_with("/dnsendpoints/checkout");
            if dry || !switches || done.swap(true, Ordering::Relaxed) {
                return Fate::Passes;
            }
            then(&west);
            fate
        });
        *world = gate.before(world.clone());
    }
}

/// Somebody else changes the record of the users' name.
fn somebody(changes: fn(&mut Value)) -> impl Fn(&RegionState) + Send {
    move |west| {
        let (key, mut record) = object(west, "dnsendpoints", "checkout");
        changes(&mut record);
        assert_eq!(west.write(|store| store.apply(&[Write::Update { key, object: record }])), []);
    }
}

#[test]
fn a_patch_without_an_answer_that_changed_nothing_yet_is_unknown() {
    let course = run(FAILOVER, at_the_switch(|_| {}, Fate::Lost));
    let ended = course.ended("traffic-west");
    assert!(matches!(ended[0].0, Outcome::Unknown { .. }), "it may still be on its way: {ended:?}");
}

#[test]
fn a_patch_without_an_answer_is_unknown_where_the_object_is_as_somebody_else_made_it() {
    let theirs = somebody(|record| record["spec"]["endpoints"][0]["targets"] = json!(["203.0.113.10"]));
    let course = run(FAILOVER, at_the_switch(theirs, Fate::Lost));
    let ended = course.ended("traffic-west");
    assert!(matches!(ended[0].0, Outcome::Unknown { .. }), "{ended:?}");
}

#[test]
fn a_patch_is_derived_anew_where_somebody_else_changes_the_object_in_between() {
    let theirs = somebody(|record| record["metadata"]["labels"]["by"] = json!("somebody"));
    let course = run(FAILOVER, at_the_switch(theirs, Fate::Passes));
    let ended = course.ended("traffic-west");
    assert!(
        matches!(ended[0].0, Outcome::Failed { .. }),
        "its version was not that of the reading: {ended:?}"
    );
    assert_eq!((ended.len(), &ended[1].0), (2, &Outcome::Ok));
    assert!(
        matches!(ended[1].1, Some(Undo::Restore { .. })),
        "what the server stored is what is owed: {ended:?}"
    );
    let record = &course.stores["west dnsendpoints/checkout in shop"];
    assert_eq!(record["metadata"]["labels"]["by"], "somebody");
}

/// A drill that kills pods of east and moves nothing.
fn killing(selector: &str) -> String {
    let (inject, _) = FAILOVER.split_once("    failover:\n").unwrap();
    let kill = format!("fault: {{podKill: {{namespace: shop, selector: {selector}}}}}");
    inject.replace("fault: {isolate: {namespaces: [shop]}}", &kill).replace(
        "proof: {probe: east-direct, failsWithin: 20s, until: restored}",
        "proof: {objectsWithin: 10s}",
    )
}

#[test]
fn a_pod_that_was_replaced_meanwhile_is_not_killed_in_the_others_stead() {
    let text = killing("{app: ledger}, pods: {share: 100%}");
    let course = run(&text, |rehearsal, world| {
        let (east, done) = (region(rehearsal, "east"), AtomicBool::new(false));
        let gate = Gate::new(move |of, request| {
            let reads =
                request.method() == http::Method::GET && request.uri().path().ends_with("/pods/ledger-0");
            if of == "east" && reads && !done.swap(true, Ordering::Relaxed) {
                let (key, mut pod) = object(&east, "pods", "ledger-0");
                for field in ["uid", "resourceVersion", "creationTimestamp"] {
                    pod["metadata"].as_object_mut().unwrap().remove(field);
                }
                let again =
                    Write::Create { resource: drillmaster::model::effect::Resource::pods(), object: pod };
                assert_eq!(east.write(|store| store.apply(&[Write::Remove { key }, again])), []);
            }
            Fate::Passes
        });
        *world = gate.before(world.clone());
    });
    assert_eq!(course.outcome("lose-east"), Outcome::failed("another object has its name by now"));
    assert_eq!(course.ended("lose-east"), [], "nothing was even intended");
}

#[test]
fn a_fence_that_keeps_no_writes_out_is_told_and_the_fault_stays() {
    let limit = "limits: {maxDuration: 1h, namespaces: [shop], abortWhen: [{probe: checkout, failsFor: 5s}]}";
    let text = FAILOVER.replace("limits: {maxDuration: 1h, namespaces: [shop]}", limit);
    let course = run(&text, |rehearsal, _| {
        for side in rehearsal.plan.authorities.iter_mut().flat_map(|authority| &mut authority.sides) {
            // It succeeds, and does nothing.
            side.fence.argv = side.fence.status.argv.clone();
        }
    });
    let told = course.told();
    assert!(told.iter().any(|what| what.ends_with("could not be fenced: it took a write")), "{told:?}");
    assert!(course.stores.keys().any(|key| key.starts_with("east networkpolicies")), "the fault was removed");
}

#[test]
fn a_fence_is_not_lifted_beside_a_side_that_somebody_promoted_meanwhile() {
    let promote = "      - {id: promote-west,";
    let fence = "      - {id: fence-first, recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}}\n";
    let text = FAILOVER.replace("maxDuration: 1h", "maxDuration: 2h");
    let inputs = drill(&text.replace(promote, &format!("{fence}{promote}")));
    in_virtual_time(async {
        let whole = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::Never);
        run_until_death(&whole, &pen).await;
        let fenced = |event: &&Event| matches!(&event.what, What::StepEnded { step, .. } if step.as_str() == "fence-first");
        let events = pen.lock().unwrap().memory.events().to_vec();
        let mut appended = events.iter().filter(|event| !matches!(event.what, What::Rows { .. }));
        let fenced = appended.position(|event| fenced(&event)).unwrap();

        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::After(fenced));
        run_until_death(&rehearsal, &pen).await;
        let west = region(&rehearsal, "west");
        let argv = ["drillmaster", "ledger", "promote"].map(str::to_owned);
        let pod = object(&west, "pods", "ledger-0").1;
        west.containers().unwrap().exec(&pod, Some("ledger"), &argv).await.unwrap();
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        let advice: Vec<&str> = healed.outstanding.iter().map(|left| left.advice.as_str()).collect();
        assert!(advice.iter().any(|advice| advice.contains("it serves the writes now")), "{advice:?}");
        assert_eq!(ledger_status(&rehearsal, "east").await["role"], "fenced");
        assert_eq!(ledger_status(&rehearsal, "west").await["role"], "primary");
    });
}

#[test]
fn what_a_person_is_to_take_back_is_done_only_where_the_person_answers() {
    let inputs = drill(FAILOVER);
    for answers in [true, false] {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let pen = Pen::new(Death::After(0));
            run_until_death(&rehearsal, &pen).await;
            let ask = |text: &str| Act::Ask { role: "web-oncall".into(), text: text.to_owned() };
            let effect = Effect { id: EffectId(1), act: ask("unplug it"), of: Of::Fault };
            let undo = Undo::Act(Box::new(ask("take back: unplug it")));
            let step = "unplug".into();
            {
                let memory = &mut pen.lock().unwrap().memory;
                memory.append(At(0), What::EffectIntended { step, effect, undo }).unwrap();
                let ended = What::EffectEnded { effect: EffectId(1), outcome: Outcome::Ok, undo: None };
                memory.append(At(0), ended).unwrap();
            }
            let mut world = rehearsal.sandbox.world();
            world.people = Scripted::people(move |_| answers.then_some((60, None)));
            let healed = heal(world, &pen).await;
            let advice: Vec<&str> = healed.outstanding.iter().map(|left| left.advice.as_str()).collect();
            if answers {
                assert_eq!(advice, Vec::<&str>::new());
            } else {
                assert!(
                    matches!(advice.as_slice(), [one] if one.contains("did not answer within")),
                    "{advice:?}"
                );
            }
        });
    }
}

#[test]
fn a_fault_that_heals_itself_owes_its_effect_only_once() {
    let text = killing("{app: storefront}, pods: {share: 50%}");
    let course = run(&text, |_, _| {});
    let What::RunStarted { plan, .. } = &course.events[0].what else { unreachable!() };
    let Action::Fault { proof, .. } = &plan.steps[0].action else { unreachable!() };
    assert_eq!(proof.until, ProofUntil::Once);
    let proofs = course.events.iter().filter_map(|event| match &event.what {
        What::Proof { shown, .. } => Some(*shown),
        _ => None,
    });
    assert_eq!(proofs.collect::<Vec<_>>(), [true], "that the pods came back is no loss of the proof");
}

#[test]
fn a_write_whose_answer_comes_as_a_reading_begins_is_not_lost() {
    // A write a millisecond: each instant is the instant of some write's answer.
    let drill = killing("{app: storefront}, pods: {share: 50%}")
        .replace("writesPerSecond: 1}", "writesPerSecond: 1000}")
        + "    verify:\n      - {id: pause, wait: {duration: 100ms}}\n      - {id: nothing-lost, check: {ledger: {}}}\n"
        + "    operate:\n      - {id: hold, wait: {duration: 100ms}}\n";
    let course = run(&drill, |rehearsal, _| {
        let second = drillmaster::model::time::Duration::from_secs(1);
        rehearsal.plan.steady_state = second;
        rehearsal.plan.services[0].restored.lasting = second;
    });
    assert_eq!(course.outcome("nothing-lost"), Outcome::Ok);
    let measured = drillmaster::measure::measure(&course.evidence);
    assert!(measured.losses[0].is_read_whole && measured.losses[0].acknowledged > 1000);
    for reading in &measured.losses {
        assert_eq!(reading.found.lost, [0_u64; 0], "reading {}", reading.pass);
    }
}
