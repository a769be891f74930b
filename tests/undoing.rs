//! What a run did to a side is taken back as one: to what the run found there, and never to a second primary (I4, I5).

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::sync::{Arc, Mutex};

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::model::event::{Ended, Event, What};
use drillmaster::world::World;
use laboratory::{
    Death, Fate, Gate, Pen, assert_no_two_accepted, by_hand, drill, heal, in_virtual_time, ledger_status,
    never_interrupted, nobody_watches, seconds, stores, unready, write_everywhere, written,
};

/// The failover of the shop with fewer minutes, fewer probes and no people.
const FAILOVER: &str = include_str!("laboratory/failover.yaml");

/// A planned switchover with fewer minutes and probes.
const SWITCHOVER: &str = include_str!("laboratory/switchover.yaml");

/// The run stops here.
const ABORT: &str = "      - {id: decide, wait: {duration: 5m}, timeout: 30s, onTimeout: abort}\n";

/// A recovery of the ledger in a region.
fn step(verb: &str, region: &str) -> String {
    format!(
        "      - {{id: {verb}-{region}, recover: {{{verb}: {{region: {region}, workload: statefulset/ledger, namespace: shop}}}}}}\n"
    )
}

/// A drill without a fault that fails over by these steps.
fn planned(steps: &[String]) -> String {
    let (before, _) = SWITCHOVER.split_once("    failover:\n").unwrap();
    format!("{before}    failover:\n{}", steps.concat())
}

/// A run to its end, while everybody writes to both sides, and what a test looks at afterwards.
struct Course {
    rehearsal: Rehearsal,
    pen: Arc<Mutex<Pen>>,
    finished: Finished,
    before: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Course {
    fn events(&self) -> Vec<Event> {
        self.pen.lock().unwrap().memory.events().to_vec()
    }

    /// How many seconds the healing took.
    fn healed_within(&self) -> u64 {
        let events = self.events();
        let at = |wanted: fn(&What) -> bool| events.iter().find(|event| wanted(&event.what)).unwrap().at;
        let began = at(|what| matches!(what, What::HealStarted { .. }));
        at(|what| matches!(what, What::HealEnded { .. })).since(began).as_secs()
    }

    async fn roles(&self) -> [String; 2] {
        let mut roles = ["east", "west"].map(str::to_owned);
        for role in &mut roles {
            *role = ledger_status(&self.rehearsal, role).await["role"].as_str().unwrap().to_owned();
        }
        roles
    }

    /// Nothing is left, and all is as it was.
    async fn assert_home(&self, what: &str) {
        assert_eq!(self.finished.outstanding, vec![], "{what}");
        assert_eq!(self.roles().await, ["primary", "replica"], "{what}");
        assert_eq!(written(&self.rehearsal), self.before, "{what}");
        assert_eq!(unready(&self.rehearsal), Vec::<String>::new(), "{what}");
    }

    /// A second healing changes nothing, and says the same.
    async fn assert_healed_again_is_the_same(&self, what: &str) {
        let (events, stored, roles) = (self.events().len(), stores(&self.rehearsal), self.roles().await);
        let again = heal(self.rehearsal.sandbox.world(), &self.pen).await;
        let told = |finished: &Finished| {
            let mut told: Vec<String> = finished.outstanding.iter().map(|left| left.what.clone()).collect();
            // What the run wrote is removed by the run itself, or by the healing of a dead one.
            told.retain(|what| !what.contains("what the run wrote"));
            told
        };
        assert_eq!(told(&again), told(&self.finished), "{what}");
        let since = self.events()[events..].to_vec();
        let acts = since.iter().filter(|event| matches!(event.what, What::EffectIntended { .. }));
        assert_eq!(acts.count(), 0, "{what}: a second healing did something");
        assert_eq!((stores(&self.rehearsal), self.roles().await), (stored, roles), "{what}");
    }
}

/// Runs a drill in a world that a test has changed, with somebody's hand in it, then judges.
fn run(
    text: &str,
    change: impl FnOnce(World, &Arc<Mutex<Pen>>) -> World,
    hand: impl AsyncFnOnce(&Rehearsal),
    judge: impl AsyncFnOnce(&Course),
) {
    let inputs = drill(text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (truth, before, pen) = (rehearsal.sandbox.truth(), written(&rehearsal), Pen::new(Death::Never));
        let writers = write_everywhere(&rehearsal.sandbox.world());
        let world = change(rehearsal.sandbox.world(), &pen);
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let running = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted());
        let (finished, ()) = tokio::join!(running, hand(&rehearsal));
        seconds(10).await;
        let course = Course { rehearsal, pen, finished, before };
        judge(&course).await;
        seconds(10).await;
        drop(writers);
        assert_no_two_accepted(&truth.ledgers(), text);
    });
}

fn as_it_is(world: World, _: &Arc<Mutex<Pen>>) -> World {
    world
}

fn assert_aborted(course: &Course) {
    assert!(matches!(course.finished.how, Ended::Aborted { .. }), "{:?}", course.finished);
}

#[test]
fn a_fence_over_a_replica_is_undone_by_following_again_and_never_by_a_promotion() {
    let fence = step("fence", "west") + ABORT;
    for steps in [vec![fence.clone()], vec![fence, step("demote", "east"), step("promote", "west")]] {
        run(
            &planned(&steps),
            as_it_is,
            async |_| {},
            async |course| {
                assert_aborted(course);
                course.assert_home("a replica was fenced").await;
                course.assert_healed_again_is_the_same("a replica was fenced").await;
            },
        );
    }
}

#[test]
fn a_side_that_was_fenced_on_the_way_home_follows_at_the_end_of_the_run() {
    let promote = "      - {id: promote-east, recover:";
    assert!(SWITCHOVER.contains(promote));
    let text = SWITCHOVER.replace(promote, &format!("{}{promote}", step("fence", "west")));
    run(
        &text,
        as_it_is,
        async |_| {},
        async |course| {
            assert_eq!(course.finished.how, Ended::Completed);
            course.assert_home("fenced before home").await;
            course.assert_healed_again_is_the_same("fenced before home").await;
        },
    );
}

#[test]
fn what_a_run_did_to_the_primary_is_taken_back_as_one() {
    let east = |verb| step(verb, "east");
    let scale = "      - {id: empty-east, recover: {scale: {region: east, workload: statefulset/ledger, namespace: shop, replicas: 0}}}\n";
    for steps in [
        vec![east("demote"), east("fence")],
        vec![east("demote"), east("restart")],
        vec![east("demote"), scale.to_owned()],
        vec![east("fence"), east("restart")],
        vec![east("fence")],
    ] {
        // Without an abort the run ends by itself; pods that are fenced do not get ready, so a restart of them does not end.
        let ends = [ABORT.to_owned(), ABORT.to_owned() + &step("promote", "west"), String::new()];
        let only_roles = steps.iter().all(|step| step.contains("demote:") || step.contains("fence:"));
        for end in ends.into_iter().take(if only_roles { 3 } else { 1 }) {
            let steps = [steps.clone(), vec![end.clone()]].concat();
            run(
                &planned(&steps),
                as_it_is,
                async |_| {},
                async |course| {
                    if end.is_empty() {
                        assert_eq!(course.finished.how, Ended::Completed);
                    } else {
                        assert_aborted(course);
                    }
                    let what = steps.concat();
                    course.assert_home(&what).await;
                    assert!(course.healed_within() < 300, "{what}: {} s", course.healed_within());
                    course.assert_healed_again_is_the_same(&what).await;
                },
            );
        }
    }
}

#[test]
fn who_stepped_down_stays_down_where_people_promoted_the_other_side_meanwhile() {
    for verb in ["demote", "fence"] {
        run(
            &planned(&[step(verb, "east"), ABORT.to_owned()]),
            as_it_is,
            async |rehearsal| {
                while ledger_status(rehearsal, "east").await["role"] == "primary" {
                    seconds(5).await;
                }
                by_hand(rehearsal, "west", "ledger-0", "promote").await;
            },
            async |course| {
                assert_aborted(course);
                let [east, west] = course.roles().await;
                assert!(east != "primary" && west == "primary", "{verb}: {east}, {west}");
                assert!(!course.finished.outstanding.is_empty(), "{verb}: nobody is told");
                course.assert_healed_again_is_the_same(verb).await;
            },
        );
    }
}

/// West takes over, serves for a minute, and is then fenced by mistake.
fn the_winner_is_fenced() -> String {
    let (there, _) = FAILOVER.split_once("    failback:\n").unwrap();
    let serves = "    operate:\n      - {id: serve, wait: {duration: 1m}}\n";
    format!("{there}{serves}{}{ABORT}", step("fence", "west"))
}

#[test]
fn a_side_that_was_promoted_and_then_fenced_has_the_newest_writes_and_the_lost_one_is_fenced() {
    run(
        &the_winner_is_fenced(),
        as_it_is,
        async |_| {},
        async |course| {
            assert_aborted(course);
            assert_eq!(course.roles().await, ["fenced", "fenced"], "{:?}", course.finished);
            let blocks = stores(&course.rehearsal).into_keys().filter(|key| key.contains("networkpolicies"));
            assert_eq!(blocks.count(), 0, "the fault is gone once east is fenced");
            let told = |part: &str| course.finished.outstanding.iter().any(|left| left.advice.contains(part));
            assert!(told("promote it: it has the newest writes"), "{:?}", course.finished);
            course.assert_healed_again_is_the_same("the winner was fenced").await;
        },
    );
}

#[test]
fn a_side_that_was_promoted_and_then_fenced_may_have_the_newest_writes_where_it_cannot_be_asked() {
    let silent = |world: World, pen: &Arc<Mutex<Pen>>| {
        let pen = pen.clone();
        let healing = move || {
            let heals = |event: &Event| matches!(event.what, What::HealStarted { .. });
            pen.lock().unwrap().memory.events().iter().any(heals)
        };
        Gate::new(move |region, _| if region == "west" && healing() { Fate::Refused } else { Fate::Passes })
            .before(world)
    };
    run(
        &the_winner_is_fenced(),
        silent,
        async |_| {},
        async |course| {
            assert_aborted(course);
            assert_eq!(course.roles().await, ["fenced", "fenced"], "{:?}", course.finished);
        },
    );
}

#[test]
fn people_who_went_home_by_hand_are_not_fenced_for_what_the_run_fenced() {
    run(
        &the_winner_is_fenced().replace("timeout: 30s", "timeout: 2m"),
        as_it_is,
        async |rehearsal| {
            while ledger_status(rehearsal, "west").await["role"] != "fenced" {
                seconds(5).await;
            }
            // They give up what west took last.
            assert_eq!(by_hand(rehearsal, "east", "ledger-0", "fence").await["role"], "fenced");
            assert_eq!(by_hand(rehearsal, "east", "ledger-0", "promote").await["role"], "primary");
        },
        async |course| {
            assert_aborted(course);
            assert_eq!(course.roles().await[0], "primary", "{:?}", course.finished);
        },
    );
}
