//! However a run ends, it heals and says so: a pen that breaks, an interrupt, answers that are lost, somebody else's changes.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use drillmaster::cli::inputs::Inputs;
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished, Shown, Watcher};
use drillmaster::journal::Memory;
use drillmaster::model::effect::EffectId;
use drillmaster::model::event::{Ended, Event, Outcome, Sink, SinkError, What};
use drillmaster::model::sample::RowFile;
use drillmaster::model::time::{At, Duration};
use drillmaster::undo::outstanding;
use drillmaster::world::{Net, Stream, World, watch};
use futures::future::BoxFuture;
use laboratory::{
    Death, Fate, Gate, Pen, assert_put_back, drill, heal, in_virtual_time, never_interrupted, nobody_watches,
    run_until_death, seconds, stores,
};
use serde_json::json;

const FAILOVER: &str = include_str!("laboratory/failover.yaml");

/// A disk that is full from the n-th event on.
struct Full {
    memory: Memory,
    from: usize,
    /// What has its space reserved is taken nevertheless.
    reserves: bool,
    asked: usize,
    /// Something happens when the n-th event is written.
    when: Option<(usize, Box<dyn FnOnce() + Send>)>,
}

impl Full {
    fn from(from: usize) -> Arc<Mutex<Full>> {
        Arc::new(Mutex::new(Full { memory: Memory::default(), from, reserves: false, asked: 0, when: None }))
    }

    fn never() -> Arc<Mutex<Full>> {
        Full::from(usize::MAX)
    }

    fn when(at: usize, then: impl FnOnce() + Send + 'static) -> Arc<Mutex<Full>> {
        let pen = Full::never();
        pen.lock().unwrap().when = Some((at, Box::new(then)));
        pen
    }
}

impl Full {
    /// As an evidence folder: what undoing writes, and what healing does itself.
    fn has_reserved_for(&self, what: &What) -> bool {
        let began =
            |event: &Event| matches!(event.what, What::AbortRequested { .. } | What::HealStarted { .. });
        let heals = || self.memory.events().iter().any(began);
        what.has_reserved_space() || matches!(what, What::EffectIntended { .. }) && heals()
    }
}

impl Sink for Full {
    fn append(&mut self, at: At, what: What) -> Result<Event, SinkError> {
        if let Some((_, then)) = self.when.take_if(|(when, _)| *when == self.asked) {
            then();
        }
        self.asked += 1;
        if self.asked > self.from && !(self.reserves && self.has_reserved_for(&what)) {
            return Err(SinkError { why: "no space left on device".to_owned() });
        }
        self.memory.append(at, what)
    }

    fn row(&mut self, at: At, file: &RowFile, row: &str) -> Result<(), SinkError> {
        self.memory.row(at, file, row)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.memory.flush()
    }

    fn bind(&mut self, at: At) -> Result<(), SinkError> {
        self.memory.bind(at)
    }
}

async fn run(
    rehearsal: &Rehearsal,
    world: World,
    pen: &Arc<Mutex<Full>>,
    interrupted: watch::Receiver<bool>,
) -> Finished {
    let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
    engine::run(world, plan, head, pen.clone(), nobody_watches(), interrupted).await
}

fn events(pen: &Arc<Mutex<Full>>) -> Vec<Event> {
    pen.lock().unwrap().memory.events().to_vec()
}

async fn prepared(inputs: &Inputs) -> Rehearsal {
    Rehearsal::prepare(inputs, 7, 0).await.unwrap()
}

/// How many events a run asks its pen to write.
fn whole(inputs: &Inputs) -> usize {
    in_virtual_time(async {
        let (rehearsal, pen) = (prepared(inputs).await, Full::never());
        let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
        assert_eq!(finished.how, Ended::Completed);
        pen.lock().unwrap().asked
    })
}

#[test]
fn a_pen_that_breaks_at_any_event_ends_the_run_and_all_is_put_back() {
    let inputs = drill(FAILOVER);
    let asked = whole(&inputs);
    for from in 0..asked {
        in_virtual_time(async {
            let (rehearsal, pen) = (prepared(&inputs).await, Full::from(from));
            let before = stores(&rehearsal);
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
            let what = format!("no space from event {from} on: {finished:?}");
            assert_eq!(finished.journal.as_deref(), Some("no space left on device"), "{what}");
            assert_eq!(
                events(&pen).iter().filter(|event| !matches!(event.what, What::Rows { .. })).count(),
                from,
                "{what}"
            );
            assert_put_back(&rehearsal, &before, &finished, &what).await;
        });
    }
}

#[test]
fn a_full_disk_takes_what_the_effects_have_reserved_for_their_undoing() {
    let inputs = drill(FAILOVER);
    let mut healed = 0;
    for from in (0..whole(&inputs)).step_by(3) {
        in_virtual_time(async {
            let (rehearsal, pen) = (prepared(&inputs).await, Full::from(from));
            pen.lock().unwrap().reserves = true;
            let before = stores(&rehearsal);
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
            let what = format!("no space from event {from} on: {finished:?}");
            let events = events(&pen);
            assert_put_back(&rehearsal, &before, &finished, &what).await;
            let on_record: BTreeSet<EffectId> =
                outstanding(&events).iter().map(|open| open.effect.id).collect();
            let left: BTreeSet<EffectId> = finished.outstanding.iter().filter_map(|one| one.effect).collect();
            assert_eq!(on_record, left, "{what}: {events:#?}");
            let intended: Vec<EffectId> = events
                .iter()
                .filter_map(|event| match &event.what {
                    What::EffectIntended { effect, .. } => Some(effect.id),
                    _ => None,
                })
                .collect();
            let known =
                events.iter().all(|event| event.what.effect().is_none_or(|id| intended.contains(&id)));
            assert!(known, "{what}: more is told of an effect than its intent");
            if !intended.is_empty() {
                assert!(matches!(events.last().unwrap().what, What::RunEnded { .. }), "{what}");
                healed += 1;
            }
        });
    }
    assert!(healed > 3, "{healed}");
}

#[test]
fn an_abort_that_cannot_be_written_is_healed_like_any_other() {
    let inputs = drill(FAILOVER);
    let aborted = |from: usize| {
        in_virtual_time(async {
            let (mut rehearsal, pen) = (prepared(&inputs).await, Full::from(from));
            rehearsal.plan.limits.max_duration = Duration::from_secs(40);
            let before = stores(&rehearsal);
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
            assert_put_back(&rehearsal, &before, &finished, &format!("{finished:?}")).await;
            let events = events(&pen).into_iter().filter(|event| !matches!(event.what, What::Rows { .. }));
            events.take_while(|event| !matches!(event.what, What::AbortRequested { .. })).count()
        })
    };
    let before_it = aborted(usize::MAX);
    assert_eq!(aborted(before_it), before_it);
}

#[test]
fn an_interrupt_at_any_event_heals_and_completes_the_journal() {
    let inputs = drill(FAILOVER);
    let asked = whole(&inputs);
    let mut interrupted = 0;
    for at in (0..asked).step_by(2) {
        in_virtual_time(async {
            let (sender, receiver) = watch::channel(false);
            let pen = Full::when(at, move || sender.send(true));
            let rehearsal = prepared(&inputs).await;
            let before = stores(&rehearsal);
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, receiver).await;
            let what = format!("interrupted at event {at}: {finished:?}");
            interrupted += usize::from(finished.how == Ended::Interrupted);
            let events = events(&pen);
            assert_eq!(
                events.last().map(|event| &event.what),
                Some(&What::RunEnded { how: finished.how.clone() }),
                "{what}"
            );
            let healed = events.iter().any(|event| matches!(event.what, What::HealEnded { .. }));
            assert!(healed, "{what}");
            assert_eq!(outstanding(&events).is_empty(), finished.outstanding.is_empty(), "{what}");
            assert_put_back(&rehearsal, &before, &finished, &what).await;
        });
    }
    assert!(interrupted > asked / 4, "{interrupted} of {asked}");
}

/// A run in which the answers of the n-th request that changes something are lost, and its events.
async fn with_lost_answer(inputs: &Inputs, nth: usize, fate: Fate) -> (Rehearsal, Finished, Vec<Event>) {
    let mut changes = 0;
    let gate = Gate::new(move |_, request| {
        let status =
            request.uri().query().is_some_and(|query| query.contains("status") || query.contains("try"));
        let dry = request.uri().query().is_some_and(|query| query.contains("dryRun"));
        let exec = request.uri().path().ends_with("/exec");
        if dry || (exec && status) || (!exec && request.method() == http::Method::GET) {
            return Fate::Passes;
        }
        changes += 1;
        if changes == nth { fate } else { Fate::Passes }
    });
    let (rehearsal, pen) = (prepared(inputs).await, Full::never());
    let world = gate.before(rehearsal.sandbox.world());
    let finished = run(&rehearsal, world, &pen, never_interrupted()).await;
    (rehearsal, finished, events(&pen))
}

#[test]
fn an_effect_whose_answer_is_lost_is_found_out_by_reading() {
    let inputs = drill(FAILOVER);
    for fate in [Fate::AnswerLost, Fate::AnsweredBadly] {
        for nth in 1..=8 {
            in_virtual_time(async {
                let (_, finished, events) = with_lost_answer(&inputs, nth, fate).await;
                assert_eq!(finished.how, Ended::Completed, "change {nth}, {fate:?}");
                assert_eq!(finished.outstanding, vec![], "change {nth}, {fate:?}");
                let bad: Vec<_> = events
                    .iter()
                    .filter(|event| matches!(&event.what, What::EffectEnded { outcome, .. } if *outcome != Outcome::Ok))
                    .collect();
                assert!(bad.is_empty(), "change {nth}, {fate:?}: {bad:?}");
            });
        }
    }
}

/// Somebody points the record of checkout to an address.
async fn patched(west: &kube::Client, target: &str) {
    let patch = json!({"spec": {"endpoints": [
        {"dnsName": "checkout.shop.example", "recordType": "A", "recordTTL": 30, "targets": [target]},
    ]}});
    let path = "/apis/externaldns.k8s.io/v1alpha1/namespaces/shop/dnsendpoints/checkout";
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes()).unwrap();
    west.request::<serde_json::Value>(request).await.unwrap();
}

#[test]
fn what_somebody_else_changed_meanwhile_is_kept_and_told() {
    // The traffic first, so that it is reversed: nothing is promoted yet.
    let (promotes, switches): (Vec<&str>, Vec<&str>) = FAILOVER
        .lines()
        .filter(|line| line.contains("-west, recover"))
        .partition(|line| line.contains("promote"));
    let [promotes, switches] = [promotes[0], switches[0]];
    let inputs =
        drill(&FAILOVER.replace(&format!("{promotes}\n{switches}"), &format!("{switches}\n{promotes}")));
    in_virtual_time(async {
        let (rehearsal, pen) = (prepared(&inputs).await, Pen::new(Death::After(14)));
        run_until_death(&rehearsal, &pen).await;
        let west = rehearsal.sandbox.world().regions["west"].clone();
        patched(&west, "203.0.113.10").await;
        // As often as it is healed, until somebody decides.
        for _ in 0..2 {
            let healed = heal(rehearsal.sandbox.world(), &pen).await;
            let told: Vec<&str> = healed.outstanding.iter().map(|left| left.advice.as_str()).collect();
            // Nor does anybody reach the service to remove what the run wrote.
            assert!(matches!(told.as_slice(), [one, _] if one.contains("somebody changed it")), "{told:?}");
            assert!(
                stores(&rehearsal)["west dnsendpoints/checkout in shop"].to_string().contains("203.0.113.10")
            );
        }
        patched(&west, "10.1.192.1").await;
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        assert_eq!(healed.outstanding, vec![]);
    });
}

/// The drill without a promotion: all of it can be taken back.
fn traffic_only() -> String {
    let promote =
        "      - {id: promote-west, recover: {promote: {workload: statefulset/ledger, namespace: shop}}}\n";
    let text = FAILOVER.replace(promote, "");
    let back = text.find("    failback:").unwrap();
    text[..back].to_owned()
        + "    operate:\n      - {id: hold, wait: {duration: 30m}, timeout: 1m, onTimeout: abort}\n"
}

#[test]
fn while_the_lost_side_is_not_well_again_its_users_stay_where_they_are() {
    let inputs = drill(&traffic_only());
    // East's API server fails while it is healed, or does not say that its databases are ready.
    for trouble in ["/", "/statefulsets"] {
        in_virtual_time(async {
            let (rehearsal, pen) = (prepared(&inputs).await, Full::never());
            let before = stores(&rehearsal);
            let clock = rehearsal.sandbox.world().clock;
            let gate = Gate::new(move |region, request| {
                let later = clock.now().0 > 50_000_000_000;
                let hit = later && region == "east" && request.uri().path().contains(trouble);
                if hit { Fate::Refused } else { Fate::Passes }
            });
            let finished =
                run(&rehearsal, gate.before(rehearsal.sandbox.world()), &pen, never_interrupted()).await;
            assert!(matches!(finished.how, Ended::Aborted { .. }), "{trouble}: {finished:?}");
            let record = stores(&rehearsal)["west dnsendpoints/checkout in shop"].to_string();
            assert_ne!(
                record,
                before["west dnsendpoints/checkout in shop"].to_string(),
                "{trouble}: sent back"
            );
            let told = finished
                .outstanding
                .iter()
                .any(|left| left.what.contains("traffic-west") && left.advice.contains("it stays"));
            assert!(told, "{trouble}: {finished:?}");
            let healed =
                engine::heal(rehearsal.sandbox.world(), events(&pen), pen, nobody_watches()).await.unwrap();
            assert_eq!(healed.outstanding, vec![], "{trouble}");
            assert_put_back(&rehearsal, &before, &healed, trouble).await;
        });
    }
}

#[test]
fn a_fault_that_its_recovery_overwrote_is_removed_without_a_conflict() {
    let isolate = "        fault: {isolate: {namespaces: [shop]}}\n        proof: {probe: east-direct, failsWithin: 20s, until: restored}\n";
    let dns = "        fault: {dnsFailure: {record: checkout.shop.example}}\n        proof: {probe: checkout, failsWithin: 2m, until: recovery}\n";
    let text = traffic_only();
    assert!(text.contains(isolate));
    let text = text.replace(isolate, dns);
    let back = text.find("    operate:").unwrap();
    for failback in [
        "      - {id: record-back, removeFault: lose-east}\n      - {id: traffic-east, recover: {dnsSwitch: {region: east, record: checkout.shop.example}}}\n",
        "      - {id: record-back, removeFault: lose-east}\n",
    ] {
        let inputs = drill(&format!("{}    failback:\n{failback}", &text[..back]));
        in_virtual_time(async {
            let (rehearsal, pen) = (prepared(&inputs).await, Full::never());
            let before = stores(&rehearsal);
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
            assert_eq!(
                (finished.how.clone(), finished.outstanding.clone()),
                (Ended::Completed, vec![]),
                "{failback}"
            );
            assert_put_back(&rehearsal, &before, &finished, failback).await;
        });
    }
}

#[test]
fn an_object_of_somebody_else_with_the_name_of_ours_is_left_alone() {
    let inputs = drill(FAILOVER);
    in_virtual_time(async {
        let (rehearsal, pen) = (prepared(&inputs).await, Full::never());
        run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
        let is_end = |event: &Event| matches!(event.what, What::EffectEnded { .. });
        let events = events(&pen);
        let mut appended = events.iter().filter(|event| !matches!(event.what, What::Rows { .. }));
        let isolated = appended.position(is_end).unwrap();

        let (rehearsal, pen) = (prepared(&inputs).await, Pen::new(Death::After(isolated)));
        run_until_death(&rehearsal, &pen).await;
        let east = rehearsal.sandbox.world().regions["east"].clone();
        let policies = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
        let ours = format!("{policies}/drillmaster-lose-east");
        let request = |request: http::request::Builder, body: &str| {
            let request = request.header("content-type", "application/json");
            request.body(body.as_bytes().to_vec()).unwrap()
        };
        east.request::<serde_json::Value>(request(http::Request::delete(&ours), "")).await.unwrap();
        let theirs = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "drillmaster-lose-east", "namespace": "shop"}, "spec": {"podSelector": {}}});
        east.request::<serde_json::Value>(request(http::Request::post(policies), &theirs.to_string()))
            .await
            .unwrap();
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        // Theirs cuts the service off, so what the run wrote stays.
        let told: Vec<&str> = healed.outstanding.iter().map(|left| left.what.as_str()).collect();
        assert!(matches!(told.as_slice(), [one] if one.starts_with("what the run wrote")), "{told:?}");
        let now = stores(&rehearsal);
        assert!(now.contains_key("east networkpolicies/drillmaster-lose-east in shop"), "it was removed");
    });
}

#[test]
fn two_healers_at_once_come_to_one_end() {
    let inputs = drill(FAILOVER);
    for death in [9, 11, 12, 17, 24, 39, 44] {
        in_virtual_time(async {
            let (rehearsal, pen) = (prepared(&inputs).await, Pen::new(Death::After(death)));
            let before = stores(&rehearsal);
            run_until_death(&rehearsal, &pen).await;
            seconds(3).await;
            let events = pen.lock().unwrap().memory.events().to_vec();
            let healing = |pen: Arc<Mutex<Full>>| {
                for event in &events {
                    pen.lock().unwrap().append(event.at, event.what.clone()).unwrap();
                }
                engine::heal(rehearsal.sandbox.world(), events.clone(), pen, nobody_watches())
            };
            let (one, other) = tokio::join!(healing(Full::never()), healing(Full::never()));
            let (one, other) = (one.unwrap(), other.unwrap());
            let told = |healed: &Finished| {
                healed.outstanding.iter().map(|left| left.what.clone()).collect::<Vec<_>>()
            };
            assert_eq!(told(&one).is_empty(), told(&other).is_empty(), "{death}: {one:?}, {other:?}");
            assert_put_back(&rehearsal, &before, &one, &format!("died at {death}")).await;
        });
    }
}

#[test]
fn a_service_that_is_slower_than_its_p99_before_any_fault_is_refused_a_run() {
    let inputs = drill(FAILOVER);
    for (p99, starts) in [(Duration::from_nanos(1), false), (Duration::from_secs(1), true)] {
        in_virtual_time(async {
            let (mut rehearsal, pen) = (prepared(&inputs).await, Full::never());
            rehearsal.plan.services.iter_mut().for_each(|service| service.restored.p99 = Some(p99));
            let finished = run(&rehearsal, rehearsal.sandbox.world(), &pen, never_interrupted()).await;
            match &finished.how {
                Ended::Refused { guard, why } => {
                    assert!(!starts && guard.as_str() == "steady-state" && why.contains("checkout"), "{why}");
                    assert!(!why.contains("east-direct") && !why.contains("writes"), "{why}");
                }
                how => assert!(starts, "{p99}: {how:?}"),
            }
        });
    }
}

/// Connects nobody once it is cut.
struct Cut {
    net: Arc<dyn Net>,
    is_cut: Arc<AtomicBool>,
}

impl Net for Cut {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.net.resolve(host)
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.net.resolve_authoritative(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        self.net.connect(to)
    }
}

#[test]
fn what_a_run_wrote_and_cannot_remove_is_left_as_it_should_not_be() {
    let inputs = drill(FAILOVER);
    in_virtual_time(async {
        let (rehearsal, pen, is_cut) =
            (prepared(&inputs).await, Full::never(), Arc::new(AtomicBool::new(false)));
        let mut world = rehearsal.sandbox.world();
        for net in world.vantages.values_mut() {
            *net = Arc::new(Cut { net: net.clone(), is_cut: is_cut.clone() });
        }
        let watcher: Watcher = Box::new(move |_, shown| {
            if let Shown::Event(event) = shown
                && matches!(event.what, What::HealEnded { .. })
            {
                is_cut.store(true, Ordering::Relaxed);
            }
        });
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let finished = engine::run(world, plan, head, pen, watcher, never_interrupted()).await;
        assert_eq!(finished.how, Ended::Completed);
        let [left] = finished.outstanding.as_slice() else { panic!("{finished:?}") };
        assert!(left.what.contains("what the run wrote to orders-postgres"), "{left:?}");
        assert!(left.advice.contains("DELETE http://checkout.shop.example/ledger?run="), "{left:?}");
    });
}
