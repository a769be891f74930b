//! People of a live run: a board of open questions, and the answers that come from elsewhere.
//!
//! The engine asks and waits; whoever answers at the run's socket takes the question from the board. An answer that fits no open
//! question, or more than one, is refused with what is open.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, pending};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::model::event::Decision;
use crate::model::name::{Name, StepId};
use crate::world::{About, People, Question, Reply};

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    pub who: Name,
    /// The step that it is about; not needed where only one waits.
    pub step: Option<StepId>,
    pub says: Says,
    #[serde(default)]
    pub text: String,
}

/// The answers that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Says {
    /// I have seen the page.
    Acknowledge,
    /// The task is done, the disaster is declared, the held step was done by hand.
    Done,
    Retry,
    Skip {
        reason: String,
    },
    Return,
}

impl Says {
    fn fits(&self, about: &About) -> bool {
        match about {
            About::Acknowledge => matches!(self, Says::Acknowledge),
            About::Declare | About::Task => matches!(self, Says::Done),
            About::Hold { .. } => !matches!(self, Says::Acknowledge),
        }
    }

    fn decision(&self, about: &About) -> Option<Decision> {
        if !matches!(about, About::Hold { .. }) {
            return None;
        }
        match self {
            Says::Acknowledge => None,
            Says::Done => Some(Decision::Done),
            Says::Retry => Some(Decision::Retry),
            Says::Skip { reason } => Some(Decision::Skip { reason: reason.clone() }),
            Says::Return => Some(Decision::Return),
        }
    }
}

/// Questions that wait, by the order in which they were asked.
#[derive(Default)]
struct Board {
    next: u64,
    open: BTreeMap<u64, (Question, oneshot::Sender<Reply>)>,
}

/// The people of a live run.
#[derive(Default)]
pub struct LivePeople {
    board: Mutex<Board>,
}

/// Takes a question off the board when nobody waits for it any more.
struct Asked<'a> {
    people: &'a LivePeople,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.people.lock().open.remove(&self.number);
    }
}

impl LivePeople {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an answer to the question that it fits; says which that was.
    ///
    /// # Errors
    /// Where it fits none, or several, or is a skip without a reason.
    pub fn answer(&self, answer: &Answer) -> Result<String, String> {
        if matches!(&answer.says, Says::Skip { reason } if reason.trim().is_empty()) {
            return Err("a skip needs a reason, which stands in the report: give it with --reason".to_owned());
        }
        let mut board = self.lock();
        let fits = |question: &Question| {
            answer.step.as_ref().is_none_or(|step| *step == question.step)
                && answer.says.fits(&question.about)
        };
        let fitting: Vec<u64> = board
            .open
            .iter()
            .filter(|(_, (question, _))| fits(question))
            .map(|(number, _)| *number)
            .collect();
        let [number] = fitting.as_slice() else {
            let open: Vec<String> = board.open.values().map(|(question, _)| said(question)).collect();
            let open = if open.is_empty() { "nothing waits".to_owned() } else { open.join("; ") };
            return Err(match fitting.len() {
                0 => format!("nobody waits for that answer: {open}"),
                _ => format!("more than one waits for that answer, name one with --step: {open}"),
            });
        };
        let Some((question, waiting)) = board.open.remove(number) else {
            return Err("it was answered just now".to_owned());
        };
        let reply = Reply {
            who: answer.who.clone(),
            simulated: false,
            decision: answer.says.decision(&question.about),
            text: answer.text.clone(),
        };
        waiting.send(reply).map_err(|_| "nobody waits for it any more".to_owned())?;
        Ok(said(&question))
    }
}

/// `step promote-west asks dba to do: Promote the database`
fn said(question: &Question) -> String {
    let wants = match question.about {
        About::Acknowledge => "to acknowledge (ack)",
        About::Declare => "to declare (done)",
        About::Task => "to do (done)",
        About::Hold { .. } => "to decide (retry, skip, done, return)",
    };
    format!("step {} asks {} {wants}: {}", question.step, question.role, question.text)
}

impl People for LivePeople {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let (answered, answer) = oneshot::channel();
            let asked = {
                let mut board = self.lock();
                let number = board.next;
                board.next += 1;
                board.open.insert(number, (question, answered));
                Asked { people: self, number }
            };
            let reply = answer.await;
            drop(asked);
            match reply {
                Ok(reply) => reply,
                Err(_) => pending().await,
            }
        })
    }

    fn notify<'a>(&'a self, audience: &'a Name, _: &'a str) -> BoxFuture<'a, io::Result<()>> {
        let why = format!("this version sends no messages: nobody told {audience}");
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, why))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(step: &str, about: About) -> Question {
        Question { step: step.into(), role: "dba".into(), text: "do it".into(), about }
    }

    fn answer(step: Option<&str>, says: Says) -> Answer {
        Answer { who: "Dana".into(), step: step.map(StepId::from), says, text: String::new() }
    }

    #[tokio::test]
    async fn an_answer_goes_to_the_one_question_that_it_fits() {
        let people = LivePeople::default();
        let mut task = people.ask(question("task", About::Task));
        let mut held = people.ask(question("held", About::Hold { before: 0 }));
        assert!(futures::poll!(&mut task).is_pending() && futures::poll!(&mut held).is_pending());
        let refused = people.answer(&answer(None, Says::Acknowledge)).unwrap_err();
        assert!(refused.contains("step task") && refused.contains("step held"), "{refused}");
        assert!(people.answer(&answer(None, Says::Done)).unwrap_err().contains("--step"));
        assert!(people.answer(&answer(Some("task"), Says::Retry)).is_err());
        people.answer(&answer(None, Says::Retry)).unwrap();
        assert_eq!(held.await.decision, Some(Decision::Retry));
        people.answer(&answer(None, Says::Done)).unwrap();
        let reply = task.await;
        assert_eq!((reply.who.as_str(), reply.simulated, reply.decision), ("Dana", false, None));
        assert!(people.answer(&answer(None, Says::Done)).unwrap_err().contains("nothing waits"));
    }

    #[tokio::test]
    async fn a_skip_without_a_reason_is_refused_and_the_question_stays() {
        let people = LivePeople::default();
        let mut held = people.ask(question("held", About::Hold { before: 0 }));
        assert!(futures::poll!(&mut held).is_pending());
        for reason in ["", "  "] {
            let skip = answer(None, Says::Skip { reason: reason.to_owned() });
            assert!(people.answer(&skip).unwrap_err().contains("a skip needs a reason"));
        }
        people.answer(&answer(None, Says::Skip { reason: "told by phone".to_owned() })).unwrap();
        assert_eq!(held.await.decision, Some(Decision::Skip { reason: "told by phone".to_owned() }));
    }

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_is_off_the_board() {
        let people = LivePeople::default();
        let mut asked = people.ask(question("task", About::Task));
        assert!(futures::poll!(&mut asked).is_pending());
        drop(asked);
        assert!(people.answer(&answer(None, Says::Done)).is_err());
    }
}
