//! What API servers answer during a run instead of doing it, verb by verb: the run ends in its time and says what it was told, and once the
//! server is itself again, healing leaves nothing behind that it does not name.
//!
//! No run watches or updates (a right that none needs is none that it asks for), so there is nothing to refuse of these two.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drillmaster::cli::inputs::{self, Inputs};
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::guard::rights::Right;
use drillmaster::model::event::{Decision, Ended};
use drillmaster::model::time::Duration;
use drillmaster::world::{About, World};
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use laboratory::{
    Death, Pen, Scripted, assert_put_back, heal, in_virtual_time, never_interrupted, nobody_watches, stores,
};
use serde_json::{Value, json};

/// The verbs of all requests that the drills here make, and those of two subresources.
const VERBS: [&str; 7] = ["get", "list", "create", "patch", "delete", "eviction", "exec"];

/// What is said where a command should have run, and the connection was not given over to it.
const NO_EXEC: &str = "failed to switch protocol: 200";

type AnyBody = UnsyncBoxBody<Bytes, tower::BoxError>;

fn whole(text: String) -> AnyBody {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// What a server answers instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Status(u16),
    /// A status, and when to come again, in seconds.
    Busy(u16, u64),
    /// A page of a proxy that stands before it.
    Html,
    /// Its headers and the beginning of its body.
    HangsMidBody,
}

impl Answer {
    fn respond(self) -> Response<AnyBody> {
        let of = |code: u16| Response::builder().status(code);
        let status = |code: u16| {
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Test",
                "message": format!("the server says {code}"), "code": code})
            .to_string()
        };
        match self {
            Answer::Status(code) => of(code).body(whole(status(code))),
            Answer::Busy(code, seconds) => {
                of(code).header("retry-after", seconds).body(whole("try again later".to_owned()))
            }
            Answer::Html => of(200)
                .header("content-type", "text/html")
                .body(whole("<html>Please log in</html>".to_owned())),
            Answer::HangsMidBody => {
                let begun = stream::once(async { Ok(Frame::data(Bytes::from("{\"kind\": "))) });
                of(200).body(StreamBody::new(begun.chain(stream::pending())).boxed_unsync())
            }
        }
        .unwrap()
    }

    /// What the journal must say of it: one of these.
    fn tells(self) -> Vec<String> {
        match self {
            Answer::Status(code) | Answer::Busy(code, _) => {
                let mut tells =
                    vec![format!("the server says {code}"), format!("failed to switch protocol: {code}")];
                // Somebody else changed it, again and again.
                tells.extend((code == 409).then(|| "the object kept changing".to_owned()));
                tells
            }
            Answer::Html => ["no JSON", "no list of objects", NO_EXEC].map(str::to_owned).into(),
            Answer::HangsMidBody => {
                ["did not answer within", "no answer within", NO_EXEC].map(str::to_owned).into()
            }
        }
    }
}

/// The verb of a request.
fn verb(request: &Request<Body>) -> &'static str {
    let uri = request.uri();
    let rights = Right::of_request(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
    match rights.first() {
        Some(right) if right.resource.ends_with("/exec") => "exec",
        Some(right) if right.resource.ends_with("/eviction") => "eviction",
        Some(right) => right.verb,
        None => "none",
    }
}

/// A world whose API servers give other answers to the requests that a judge chooses, by region and verb.
fn answering(
    mut world: World,
    judge: impl Fn(&str, &'static str, &Request<Body>) -> Option<Answer> + Send + Sync + 'static,
) -> World {
    let judge = Arc::new(judge);
    for (region, client) in &mut world.regions {
        let (region, inner, judge) = (region.to_string(), client.clone(), Arc::clone(&judge));
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = judge(&region, verb(&request), &request);
            let inner = inner.clone();
            async move {
                match answer {
                    Some(answer) => Ok(answer.respond()),
                    None => inner
                        .send(request)
                        .await
                        .map(|answer| answer.map(|body| body.map_err(Into::into).boxed_unsync())),
                }
            }
        });
        *client = kube::Client::new(service, "default");
    }
    world
}

fn drill_that_sends(verb: &str) -> Inputs {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/node-drain.yaml");
    match verb {
        "eviction" => inputs::load(&shipped, &[]).unwrap(),
        _ => laboratory::drill(include_str!("laboratory/failover.yaml")),
    }
}

struct Course {
    finished: Finished,
    told: String,
    took: Duration,
    rehearsal: Rehearsal,
    before: BTreeMap<String, Value>,
    pen: Arc<Mutex<Pen>>,
}

/// Runs a drill on such servers; who is asked about a held step skips it.
async fn run(
    inputs: &Inputs,
    judge: impl Fn(&str, &'static str, &Request<Body>) -> Option<Answer> + Send + Sync + 'static,
) -> Course {
    let rehearsal = Rehearsal::prepare(inputs, 7, 0).await.unwrap();
    let before = stores(&rehearsal);
    let mut world = answering(rehearsal.sandbox.world(), judge);
    world.people = Scripted::people(|question| match question.about {
        About::Hold { .. } => Some((5, Some(Decision::Skip { reason: "seen".to_owned() }))),
        About::Acknowledge | About::Declare | About::Task => None,
    });
    let pen = Pen::new(Death::Never);
    let (plan, head, clock) = (rehearsal.plan.clone(), rehearsal.head.clone(), world.clock.clone());
    let begun = clock.now();
    let finished = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
    let told = serde_json::to_string(pen.lock().unwrap().memory.events()).unwrap();
    Course { finished, told, took: clock.now().since(begun), rehearsal, before, pen }
}

/// Every request of a verb is answered so, in both regions; afterwards the servers are themselves again. What is not as it should be.
fn refused(verb: &'static str, answer: Answer) -> Result<(), String> {
    let inputs = drill_that_sends(verb);
    in_virtual_time(async {
        let what = format!("{verb}: {answer:?}");
        let course = run(&inputs, move |_, asked, _| (asked == verb).then_some(answer)).await;
        let told = answer.tells().iter().any(|tells| course.told.contains(tells));
        let ended = !matches!(course.finished.how, Ended::Crashed { .. });
        if !told || !ended || course.took > Duration::from_secs(2 * 3600) {
            let events = course.pen.lock().unwrap().memory.events().to_vec();
            let last = events.iter().rev().take(12).map(|event| format!("{:?}", event.what));
            let last: Vec<String> = last.map(|line| line.chars().take(300).collect()).collect();
            return Err(format!("{what}: {:?} after {}: {last:#?}", course.finished, course.took));
        }
        let healed = heal(course.rehearsal.sandbox.world(), &course.pen).await;
        assert_put_back(&course.rehearsal, &course.before, &healed, &what).await;
        Ok(())
    })
}

/// Every verb, with each of some answers.
fn all_refused(answers: &[Answer]) {
    let cases = VERBS.iter().flat_map(|verb| answers.iter().map(move |answer| (*verb, *answer)));
    let wrong: Vec<String> = cases.filter_map(|(verb, answer)| refused(verb, answer).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_drills_here_send_every_verb_that_is_refused_and_no_other() {
    let sent: Arc<Mutex<BTreeSet<&'static str>>> = Arc::default();
    for verb in ["get", "eviction"] {
        let (inputs, sent) = (drill_that_sends(verb), Arc::clone(&sent));
        in_virtual_time(async {
            let course = run(&inputs, move |_, verb, _| {
                sent.lock().unwrap().insert(verb);
                None
            })
            .await;
            assert_eq!(course.finished.how, Ended::Completed);
        });
    }
    assert_eq!(*sent.lock().unwrap(), BTreeSet::from(VERBS));
}

#[test]
fn a_refusal_at_any_verb_is_told_with_its_status_and_leaves_nothing_that_is_not_told() {
    all_refused(&[401, 403, 409, 429, 500].map(Answer::Status));
}

#[test]
fn an_answer_that_is_none_at_any_verb_is_told_and_leaves_nothing_that_is_not_told() {
    all_refused(&[Answer::Html, Answer::HangsMidBody]);
}

#[test]
fn an_api_version_that_is_gone_is_told_and_leaves_nothing() {
    let inputs = drill_that_sends("create");
    in_virtual_time(async {
        let gone = |_: &str, _: &str, request: &Request<Body>| {
            request.uri().path().starts_with("/apis/networking.k8s.io/v1/").then_some(Answer::Status(404))
        };
        let course = run(&inputs, gone).await;
        assert!(course.told.contains("404"), "{}", course.told);
        assert_put_back(&course.rehearsal, &course.before, &course.finished, "gone").await;
    });
}

#[test]
fn a_server_that_says_when_to_come_again_is_asked_again_where_that_is_safe() {
    let all = ["get", "list", "create", "patch", "delete"];
    for (code, verbs) in [(429, &all[..]), (500, &all[..2]), (503, &all[..2])] {
        let inputs = drill_that_sends("create");
        in_virtual_time(async {
            let busy: Mutex<BTreeMap<&str, u32>> = Mutex::new(verbs.iter().map(|verb| (*verb, 3)).collect());
            let course = run(&inputs, move |_, verb, _| {
                let mut busy = busy.lock().unwrap();
                let left = busy.get_mut(verb).filter(|left| **left > 0)?;
                *left -= 1;
                Some(Answer::Busy(code, 2))
            })
            .await;
            assert_eq!(
                (&course.finished.how, course.told.contains("\"held\"")),
                (&Ended::Completed, false),
                "{code}"
            );
            assert_eq!(course.finished.outstanding, vec![], "{code}");
            assert_put_back(&course.rehearsal, &course.before, &course.finished, "busy").await;
        });
    }
}
