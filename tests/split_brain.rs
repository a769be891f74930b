//! No healing into a split brain (I5): an orchestrator that dies at any event, while everybody goes on writing to both sides,
//! leaves a world that `heal` puts back, or fences and says how to go on.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use drillmaster::cli::inputs::Inputs;
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::model::effect::Act;
use drillmaster::model::event::{Decision, Ended, Event, Outcome, What};
use drillmaster::model::time::At;
use drillmaster::sandbox::state::Availability;
use drillmaster::sandbox::truth::{LedgerTruth, Taken};
use drillmaster::world::{About, World};
use laboratory::{
    Death, Fate, Gate, Pen, Scripted, assert_no_two_accepted, by_hand, drill, drill_of_two_databases, heal,
    in_virtual_time, ledger_status, never_interrupted, nobody_watches, run_until_death, seconds, stores,
    write_everywhere,
};

/// The failover of the shop with fewer minutes, fewer probes and no people.
const FAILOVER: &str = include_str!("laboratory/failover.yaml");

/// A planned switchover with fewer minutes and probes.
const SWITCHOVER: &str = include_str!("laboratory/switchover.yaml");

/// What is in the way of the healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// East's API server, while it heals first.
    East(Availability),
    West(Availability),
}

/// Which way a healing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    BeforeAnything,
    Home,
    Away,
    Nobody,
}

struct Case {
    rehearsal: Rehearsal,
    pen: Arc<Mutex<Pen>>,
    before: BTreeMap<String, serde_json::Value>,
    what: String,
}

impl Case {
    fn api(&self, region: &str, availability: Availability) {
        let (_, state) = self.rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == region).unwrap();
        state.set_availability(availability);
    }

    fn blocks(&self) -> Vec<String> {
        stores(&self.rehearsal).into_keys().filter(|key| key.contains("networkpolicies")).collect()
    }

    /// The objects that are not as before.
    fn changed(&self) -> Vec<String> {
        let now = stores(&self.rehearsal);
        let differs = |key: &&String| now.get(*key) != self.before.get(*key);
        let keys: BTreeSet<&String> = now.keys().chain(self.before.keys()).collect();
        let told = |key: &String| format!("{key}: {:?} is now {:?}", self.before.get(key), now.get(key));
        keys.into_iter().filter(differs).map(told).collect()
    }

    /// What must hold once nothing is in the way of healing.
    async fn assert_healed(&self, healed: &Finished) -> Way {
        let what = &self.what;
        let (east, west) =
            (ledger_status(&self.rehearsal, "east").await, ledger_status(&self.rehearsal, "west").await);
        assert_eq!(self.blocks(), Vec::<String>::new(), "{what}: the fault is still there");
        let way = match (east["role"].as_str().unwrap(), west["role"].as_str().unwrap()) {
            ("primary", "replica") => Way::Home,
            ("fenced" | "replica", "primary") => Way::Away,
            ("fenced" | "replica", "replica") => Way::Nobody,
            roles => unreachable!("{what}: {roles:?}"),
        };
        if way == Way::Home {
            assert_eq!(healed.outstanding, vec![], "{what}");
            assert_eq!(self.changed(), Vec::<String>::new(), "{what}: not as before");
        } else {
            assert!(!healed.outstanding.is_empty(), "{what}: nobody is told that west has taken over");
        }
        assert!(healed.outstanding.iter().all(|left| !left.advice.is_empty()), "{what}");
        assert_eq!(healed.journal, None, "{what}");
        way
    }
}

/// One death and its healings.
async fn dies(inputs: &Inputs, death: Death, trouble: Trouble) -> Way {
    let rehearsal = Rehearsal::prepare(inputs, 7, 0).await.unwrap();
    let truth = rehearsal.sandbox.truth();
    let (before, pen) = (stores(&rehearsal), Pen::new(death));
    let case = Case { rehearsal, pen, before, what: format!("{death:?}, {trouble:?}") };
    let world = case.rehearsal.sandbox.world();
    let writers = write_everywhere(&world);
    assert_eq!(run_until_death(&case.rehearsal, &case.pen).await, None, "{}", case.what);
    // Whoever heals may come at once, or when everything has landed.
    seconds(if matches!(death, Death::Within(..)) { 0 } else { 7 }).await;
    if case.pen.lock().unwrap().memory.events().is_empty() {
        assert_eq!(case.changed(), Vec::<String>::new(), "{}", case.what);
        return Way::BeforeAnything;
    }
    match trouble {
        Trouble::Nothing => {}
        Trouble::East(how) | Trouble::West(how) => {
            let region = if matches!(trouble, Trouble::East(_)) { "east" } else { "west" };
            let blocked = !case.blocks().is_empty();
            let moved = ledger_status(&case.rehearsal, "west").await["role"] == "primary";
            case.api(region, how);
            let healed = heal(world.clone(), &case.pen).await;
            if blocked && (moved || region == "east") {
                let listed = healed.outstanding.iter().any(|left| left.what.contains("networkpolicies"));
                assert!(listed || region == "west", "{}: {:?}", case.what, healed.outstanding);
            }
            seconds(7).await;
            assert_no_two_accepted(&truth.ledgers(), &case.what);
            case.api(region, Availability::Up);
        }
    }
    let healed = heal(world.clone(), &case.pen).await;
    let way = case.assert_healed(&healed).await;
    seconds(20).await;
    assert_eq!(case.assert_healed(&healed).await, way, "{}", case.what);
    let (written, stored) = (case.pen.lock().unwrap().memory.events().len(), stores(&case.rehearsal));
    let again = heal(world, &case.pen).await;
    assert_eq!(again.outstanding, healed.outstanding, "{}", case.what);
    assert_eq!(stores(&case.rehearsal), stored, "{}", case.what);
    let since = case.pen.lock().unwrap().memory.events()[written..].to_vec();
    let effects = since.iter().filter(|event| matches!(event.what, What::EffectIntended { .. })).count();
    assert_eq!(effects, 0, "{}: a second healing changed something", case.what);
    seconds(7).await;
    drop(writers);
    let epochs = assert_no_two_accepted(&truth.ledgers(), &case.what);
    assert!(!epochs.is_empty(), "{}: nobody wrote", case.what);
    way
}

/// The events of a whole run, in which nobody dies.
fn whole(inputs: &Inputs) -> Vec<Event> {
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(inputs, 7, 0).await.unwrap();
        let truth = rehearsal.sandbox.truth();
        let (pen, before) = (Pen::new(Death::Never), stores(&rehearsal));
        let writers = write_everywhere(&rehearsal.sandbox.world());
        let finished = run_until_death(&rehearsal, &pen).await.unwrap();
        drop(writers);
        assert_eq!(finished.outstanding, vec![]);
        assert_eq!(stores(&rehearsal), before);
        assert_no_two_accepted(&truth.ledgers(), "the whole run");
        let pen = pen.lock().unwrap();
        let mut events = pen.memory.events().to_vec();
        events.retain(|event| !matches!(event.what, What::Rows { .. }));
        assert_eq!(events.len(), pen.written);
        events
    })
}

fn ways(inputs: &Inputs, deaths: impl Iterator<Item = (Death, Trouble)>) -> BTreeMap<Way, usize> {
    let mut ways = BTreeMap::new();
    let mut red = Vec::new();
    for (death, trouble) in deaths {
        // One after another, and all of them: which deaths fail together says what is wrong.
        match std::panic::catch_unwind(|| in_virtual_time(dies(inputs, death, trouble))) {
            Ok(way) => *ways.entry(way).or_default() += 1,
            Err(_) => red.push((death, trouble)),
        }
    }
    assert!(red.is_empty(), "{} deaths were not healed: {red:?}", red.len());
    ways
}

/// After every event, and before those that tell of something done; before any other the world is as after the one before it.
fn at_every_event(events: &[Event]) -> impl Iterator<Item = (Death, Trouble)> {
    let tells = |n: &usize| matches!(events[*n].what, What::EffectEnded { .. } | What::UndoEnded { .. });
    let before = (0..events.len()).filter(tells).map(Death::Before);
    before.chain((0..events.len()).map(Death::After)).map(|death| (death, Trouble::Nothing))
}

/// Where each exec's intent is written.
fn execs(events: &[Event]) -> Vec<usize> {
    let is_exec = |event: &Event| matches!(&event.what, What::EffectIntended { effect, .. } if matches!(effect.act, Act::Exec(_)));
    (0..events.len()).filter(|n| is_exec(&events[*n])).collect()
}

fn in_flight(events: &[Event]) -> impl Iterator<Item = (Death, Trouble)> {
    let polls = [1, 2, 4, 8];
    execs(events)
        .into_iter()
        .flat_map(move |n| polls.map(|most| Death::Within(n, most)))
        .map(|death| (death, Trouble::Nothing))
}

fn all_ways_seen(ways: &BTreeMap<Way, usize>) {
    for way in [Way::Home, Way::Away, Way::Nobody] {
        assert!(ways.get(&way).is_some_and(|count| *count >= 2), "{ways:?}");
    }
}

#[test]
fn a_failover_that_dies_at_any_event_is_put_back_or_fenced() {
    let inputs = drill(FAILOVER);
    let events = whole(&inputs);
    all_ways_seen(&ways(&inputs, at_every_event(&events)));
}

#[test]
fn a_failover_that_dies_while_a_command_is_in_flight_is_put_back_or_fenced() {
    let inputs = drill(FAILOVER);
    all_ways_seen(&ways(&inputs, in_flight(&whole(&inputs))));
}

#[test]
fn a_switchover_that_dies_at_any_event_or_in_flight_is_put_back_or_goes_on() {
    let inputs = drill(SWITCHOVER);
    let events = whole(&inputs);
    all_ways_seen(&ways(&inputs, at_every_event(&events).chain(in_flight(&events))));
}

#[test]
fn while_an_api_server_is_down_nothing_is_unfenced_and_what_is_left_is_listed() {
    let inputs = drill(FAILOVER);
    let events = whole(&inputs);
    let down = [Availability::BlackHole, Availability::Failing(503)];
    let troubles: Vec<Trouble> =
        down.into_iter().flat_map(|how| [Trouble::East(how), Trouble::West(how)]).collect();
    let effects: Vec<usize> = (0..events.len())
        .filter(|n| matches!(events[*n].what, What::EffectIntended { .. } | What::EffectEnded { .. }))
        .collect();
    let deaths = effects
        .into_iter()
        .flat_map(|n| troubles.iter().map(move |trouble| (Death::After(n), *trouble)).collect::<Vec<_>>());
    all_ways_seen(&ways(&inputs, deaths));
}

/// Both databases of a region are promoted; nothing follows.
const TWO: &str = r#"apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {name: two-databases}
spec:
  purpose: Both databases move to west.
  type: full
  sandbox: two-databases
  catalogue: orders
  regions: {lost: east, takesOver: west}
  services: [orders]
  probes:
    - {id: orders, service: orders, every: 1s, timeout: 500ms, http: {url: "http://orders.shop.example/"}}
    - {id: east-direct, every: 1s, timeout: 500ms, http: {url: "http://orders.east.shop.example/"}}
  workload:
    ledger: {service: orders, store: orders-ledger, url: "http://orders.shop.example/ledger", writesPerSecond: 1}
  steadyState: {for: 5s}
  limits: {maxDuration: 1h, namespaces: [shop]}
  stages:
    inject:
      - id: lose-east
        fault: {isolate: {namespaces: [shop]}}
        proof: {probe: east-direct, failsWithin: 20s, until: restored}
    failover:
      - {id: promote-west, recover: {promote: {workload: statefulset/ledger, namespace: shop}}}
      - {id: promote-payments, recover: {promote: {workload: statefulset/payments, namespace: shop}}}
      - {id: traffic-west, recover: {dnsSwitch: {record: orders.shop.example}}}
    operate:
      - {id: hold, wait: {succeeds: {probe: east-direct, for: 30s}}, timeout: 1m, onTimeout: abort}
"#;

/// A run to its end in a world that a test has changed, and its events.
async fn run_in(rehearsal: &Rehearsal, world: World) -> (Finished, Vec<Event>) {
    let pen = Pen::new(Death::Never);
    let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
    let finished = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
    let mut events = pen.lock().unwrap().memory.events().to_vec();
    events.retain(|event| !matches!(event.what, What::Rows { .. }));
    (finished, events)
}

fn first(events: &[Event], wanted: impl Fn(&What) -> bool) -> usize {
    events.iter().position(|event| wanted(&event.what)).unwrap()
}

#[test]
fn two_promoted_databases_are_both_fenced_before_their_fault_goes_and_both_are_told() {
    let inputs = drill_of_two_databases(TWO);
    let assert_fenced = async |rehearsal: &Rehearsal, finished: &Finished| {
        for pod in ["ledger-0", "payments-0"] {
            assert_eq!(by_hand(rehearsal, "east", pod, "status").await["role"], "fenced", "{pod}");
            assert_eq!(by_hand(rehearsal, "west", pod, "status").await["role"], "primary", "{pod}");
            let told = |left: &&drillmaster::model::event::Outstanding| {
                left.what.contains("fence") && left.what.contains(pod)
            };
            assert_eq!(finished.outstanding.iter().filter(told).count(), 1, "{finished:?}");
        }
        assert!(stores(rehearsal).keys().all(|key| !key.contains("networkpolicies")));
    };
    let events = in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (finished, events) = run_in(&rehearsal, rehearsal.sandbox.world()).await;
        assert!(matches!(finished.how, Ended::Aborted { .. }), "{finished:?}");
        assert_fenced(&rehearsal, &finished).await;
        let told = |event: &&Event| matches!(&event.what, What::Notified { outcome: Outcome::Ok, .. });
        assert_eq!(events.iter().filter(told).count(), 3, "two fences and the list");
        events
    });
    let promoted =
        first(&events, |what| matches!(what, What::StepStarted { step } if step.as_str() == "hold"));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::After(promoted));
        assert_eq!(run_until_death(&rehearsal, &pen).await, None);
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        assert_fenced(&rehearsal, &healed).await;
    });
}

#[test]
fn a_promotion_that_a_person_did_by_hand_is_asked_for_and_its_other_side_fenced() {
    let hold = "    operate:\n      - {id: hold, wait: {succeeds: {probe: east-direct, for: 30s}}, timeout: 1m, onTimeout: abort}\n";
    let inputs = drill(&FAILOVER.replace("    failback:\n", &format!("{hold}    failback:\n")));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        // West runs no command of ours for a while.
        let clock = rehearsal.sandbox.world().clock;
        let gate = Gate::new(move |region, request| {
            let early = clock.now().0 < 60_000_000_000;
            let exec = request.uri().path().ends_with("/exec");
            if early && exec && region == "west" { Fate::Refused } else { Fate::Passes }
        });
        let mut world = gate.before(rehearsal.sandbox.world());
        world.people = Scripted::people(|question| match question.about {
            About::Hold { .. } => Some((60, Some(Decision::Done))),
            About::Acknowledge | About::Declare | About::Task => None,
        });
        let person = async {
            seconds(40).await;
            assert_eq!(by_hand(&rehearsal, "west", "ledger-0", "promote").await["role"], "primary");
        };
        let ((finished, events), ()) = tokio::join!(run_in(&rehearsal, world), person);
        assert!(matches!(finished.how, Ended::Aborted { .. }), "{finished:?}");
        first(&events, |what| matches!(what, What::Decided { decision: Decision::Done, .. }));
        assert_eq!(ledger_status(&rehearsal, "east").await["role"], "fenced", "{finished:?}");
        assert_eq!(ledger_status(&rehearsal, "west").await["role"], "primary");
        let told = finished.outstanding.iter().any(|left| left.what.contains("was given to west"));
        assert!(told, "{finished:?}");
    });
}

#[test]
fn a_promotion_beside_a_side_that_takes_writes_is_held_and_never_done() {
    // West cannot step down, since east does not follow.
    let resync = "      - {id: resync-east, recover: {resync: {region: east, workload: statefulset/ledger, namespace: shop}}}\n";
    let late = "      - {id: west-steps-down, timeout: 10s, onTimeout: finding, recover:";
    assert!(FAILOVER.contains(resync));
    let text = FAILOVER.replace(resync, "").replace("      - {id: west-steps-down, recover:", late);
    let inputs = drill(&text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let truth = rehearsal.sandbox.truth();
        let writers = write_everywhere(&rehearsal.sandbox.world());
        let (finished, events) = run_in(&rehearsal, rehearsal.sandbox.world()).await;
        seconds(10).await;
        drop(writers);
        let held = |what: &What| matches!(what, What::Held { step, why } if step.as_str() == "promote-east" && why.contains("takes the writes"));
        first(&events, held);
        assert!(!finished.outstanding.is_empty());
        assert_eq!(ledger_status(&rehearsal, "east").await["role"], "fenced");
        assert_no_two_accepted(&truth.ledgers(), "beside a primary");
    });
}

fn took(region: &str, writes: &[(i64, u64)]) -> LedgerTruth {
    let taken = |(second, epoch): &(i64, u64)| Taken {
        at: At(second * 1_000_000_000),
        run: "r".to_owned(),
        number: u64::try_from(*second).unwrap(),
        epoch: *epoch,
    };
    LedgerTruth {
        region: region.into(),
        namespace: "shop".to_owned(),
        name: "data-ledger-0".to_owned(),
        accepted: writes.iter().map(taken).collect(),
        present: vec![],
    }
}

#[test]
#[should_panic(expected = "epoch 2 was taken by east and by west")]
fn two_sides_that_take_writes_in_one_epoch_are_noticed() {
    assert_no_two_accepted(&[took("east", &[(1, 1), (5, 2)]), took("west", &[(4, 2), (6, 2)])], "planted");
}

#[test]
#[should_panic(expected = "epoch 1 took in east until")]
fn a_side_that_takes_writes_after_a_newer_epoch_began_is_noticed() {
    assert_no_two_accepted(&[took("east", &[(1, 1), (5, 1)]), took("west", &[(4, 2), (6, 2)])], "planted");
}
