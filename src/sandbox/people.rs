//! Simulated people: they answer by their role after a while that the seed decides, and every answer says that it is simulated.
//!
//! A role that the spec lacks, or that the drill keeps away, never answers. The delay is drawn from the seed, the role and the
//! number of the question to it, so that one person's answers do not depend on who else is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, pending};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::spec::Person;
use crate::model::event::Decision;
use crate::model::name::{Name, Role};
use crate::world::{About, People, Question, Reply};

/// The people of a sandbox.
pub struct SimulatedPeople {
    people: BTreeMap<Role, Person>,
    absent: BTreeSet<Role>,
    seed: u64,
    /// How often each role was asked.
    asked: Mutex<BTreeMap<Role, u64>>,
}

impl SimulatedPeople {
    /// These people, without those who are kept away.
    pub fn new(people: &[Person], absent: &[Role], seed: u64) -> Self {
        Self {
            people: people.iter().map(|person| (person.role.clone(), person.clone())).collect(),
            absent: absent.iter().cloned().collect(),
            seed,
            asked: Mutex::default(),
        }
    }

    fn count(&self, role: &Role) -> u64 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(role.clone()).or_default();
        *count += 1;
        *count
    }

    fn delay(&self, person: &Person, count: u64) -> std::time::Duration {
        let digest = Sha256::digest(format!("{} {} {count}", self.seed, person.role));
        let drawn = digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        let jitter = u64::try_from(person.answers.jitter.as_millis()).unwrap_or(u64::MAX);
        let drawn = fastrand::Rng::with_seed(drawn).u64(0..=jitter);
        person.answers.after.std() + std::time::Duration::from_millis(drawn)
    }
}

impl People for SimulatedPeople {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let count = self.count(&question.role);
            let person = self.people.get(&question.role).filter(|person| !self.absent.contains(&person.role));
            let Some(person) = person else { return pending().await };
            sleep(self.delay(person, count)).await;
            let (decision, text) = answer(person, &question.about);
            Reply { who: person.who.clone(), simulated: true, decision, text: text.into() }
        })
    }

    fn notify<'a>(&'a self, _: &'a Name, _: &'a str) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn answer(person: &Person, about: &About) -> (Option<Decision>, &'static str) {
    match about {
        About::Acknowledge => (None, "acknowledged"),
        About::Declare => (None, "declared"),
        About::Task => (None, "done"),
        About::Hold { before } => {
            let last = person.on_hold.len().saturating_sub(1);
            let turn = usize::try_from(*before).unwrap_or(last).min(last);
            (Some(person.on_hold.get(turn).cloned().unwrap_or(Decision::Retry)), "decided")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::sandbox::spec::Answers;

    fn people(seed: u64, absent: &[Role]) -> SimulatedPeople {
        let person = |role: &str, jitter: &str| Person {
            role: role.into(),
            who: format!("{role} by name").into(),
            answers: Answers { after: "1m".parse().unwrap(), jitter: jitter.parse().unwrap() },
            on_hold: vec![Decision::Retry, Decision::Skip { reason: "by hand".into() }],
        };
        SimulatedPeople::new(&[person("manager", "30s"), person("engineer", "0s")], absent, seed)
    }

    fn question(role: &str, about: About) -> Question {
        Question { step: "declare".into(), role: role.into(), text: String::new(), about }
    }

    async fn delays(seed: u64) -> Vec<Duration> {
        let people = people(seed, &[]);
        let mut delays = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let reply = people.ask(question("manager", About::Declare)).await;
            assert!(reply.simulated);
            delays.push(start.elapsed());
        }
        delays
    }

    #[tokio::test(start_paused = true)]
    async fn delays_come_from_the_seed_within_their_bounds_in_whole_milliseconds() {
        let (first, again, other) = (delays(1).await, delays(1).await, delays(2).await);
        assert_eq!(first, again);
        assert_ne!(first, other);
        for delay in first.iter().chain(&other) {
            assert!((Duration::from_secs(60)..=Duration::from_secs(90)).contains(delay), "{delay:?}");
            assert_eq!(delay.subsec_nanos() % 1_000_000, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_roles_questions_do_not_move_an_answer() {
        let alone = delays(3).await;
        let people = people(3, &[]);
        for delay in alone {
            let start = Instant::now();
            let (_, _) = tokio::join!(
                people.ask(question("manager", About::Task)),
                people.ask(question("engineer", About::Task)),
            );
            assert_eq!(start.elapsed(), delay);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_absent_or_unknown_never_answers() {
        let people = people(1, &["manager".into()]);
        for role in ["manager", "nobody"] {
            let asked = people.ask(question(role, About::Declare));
            assert!(timeout(Duration::from_secs(86_400), asked).await.is_err(), "{role}");
        }
        assert_eq!(people.ask(question("engineer", About::Task)).await.who.as_str(), "engineer by name");
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_step_gets_one_decision_after_the_other_and_then_the_last() {
        let people = people(1, &[]);
        let skip = Decision::Skip { reason: "by hand".into() };
        for (before, wanted) in [(0, Decision::Retry), (1, skip.clone()), (7, skip)] {
            let reply = people.ask(question("engineer", About::Hold { before })).await;
            assert_eq!(reply.decision, Some(wanted));
        }
    }
}
