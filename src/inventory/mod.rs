//! Reads a world: what planners of faults and recoveries, the plan and the guards look at.
//!
//! ```text
//! reads ─► each once, all at the same time, each with its own timeout ─► Facts
//! ```
//! What cannot be read is a fact as well, and never an empty list (I7): a region that is dead fails its own reads and holds up
//! nobody else's. Answers are hostile input, so lists and outputs are bounded (I15).

mod ask;
mod exec;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use crate::model::effect::{Ref, Resource};
use crate::model::facts::{Answer, Facts, Read};
use crate::model::name::{Name, Region};
use crate::world::World;

pub use ask::ask;
pub use exec::{ExecError, Ran, exec};

/// Each read is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects a page.
const PAGE: usize = 500;
/// Objects a list; more is no drill's scope.
const MOST_OBJECTS: usize = 50_000;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("there is no region {0}: name one that the environment has")]
    NoRegion(Region),
    #[error("the environment has no place to ask from")]
    NoVantage,
    #[error("no answer within {}s", PATIENCE.as_secs())]
    TimedOut,
    #[error("the API server did not answer: {0}")]
    NoAnswer(#[from] ask::NoAnswer),
    #[error("the API server said: {message} ({code})")]
    Refused { code: u16, message: String },
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("the name server said: {0}")]
    Resolve(#[source] std::io::Error),
    #[error("it holds more than {MOST_OBJECTS} objects: narrow the drill's scope")]
    TooMany,
    #[error("its answer is no list of objects: does an API server answer there?")]
    NoList,
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error("it ended with exit status {code}: {stderr}")]
    Exited { code: i32, stderr: String },
    #[error("it printed no JSON ({source}); on stderr: {stderr}")]
    NoJson { source: serde_json::Error, stderr: String },
}

/// The server's own message, without the object around it.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Reads all of it, each thing once and all at the same time.
pub async fn read(world: &World, reads: &[Read]) -> Facts {
    let once: BTreeSet<&Read> = reads.iter().collect();
    let answers = once.into_iter().map(async |read| {
        let answer = tokio::time::timeout(PATIENCE, answer(world, read)).await;
        (read.clone(), answer.unwrap_or(Err(Unreadable::TimedOut)).map_err(|why| why.to_string()))
    });
    Facts { answers: join_all(answers).await.into_iter().collect() }
}

async fn answer(world: &World, read: &Read) -> Result<Answer, Unreadable> {
    match read {
        Read::Objects { region, resource, namespace } => {
            objects(client(world, region)?, resource, namespace.as_ref()).await.map(Answer::Objects)
        }
        Read::Addresses { host } => {
            let net = world.vantages.values().next().ok_or(Unreadable::NoVantage)?;
            net.resolve_authoritative(host).await.map(Answer::Addresses).map_err(Unreadable::Resolve)
        }
        Read::Output { at, container, argv } => {
            output(client(world, &at.region)?, at, container.as_ref(), argv).await.map(Answer::Output)
        }
    }
}

fn client<'a>(world: &'a World, region: &Region) -> Result<&'a kube::Client, Unreadable> {
    world.regions.get(region).ok_or_else(|| Unreadable::NoRegion(region.clone()))
}

async fn objects(
    client: &kube::Client,
    resource: &Resource,
    namespace: Option<&Name>,
) -> Result<BTreeMap<(Option<Name>, Name), Value>, Unreadable> {
    let path = resource.path(namespace.map(Name::as_str));
    let mut found = BTreeMap::new();
    let mut next = String::new();
    loop {
        let uri = format!("{path}?limit={PAGE}{next}");
        let answer = ask(client, &http::Request::get(uri).body(Vec::new())?, PATIENCE).await;
        let answer = answer.ok_or(Unreadable::TimedOut)??;
        if !answer.status.is_success() {
            return Err(Unreadable::Refused { code: answer.status.as_u16(), message: answer.message() });
        }
        let mut page: Value = serde_json::from_slice(&answer.body).map_err(|_| Unreadable::NoList)?;
        let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
            return Err(Unreadable::NoList);
        };
        found.extend(items.into_iter().filter_map(|object| {
            let of = |field: &str| object["metadata"][field].as_str().map(Name::from);
            Some(((of("namespace"), of("name")?), object))
        }));
        if found.len() > MOST_OBJECTS {
            return Err(Unreadable::TooMany);
        }
        match page["metadata"]["continue"].as_str() {
            None | Some("") => return Ok(found),
            Some(token) => next = format!("&continue={}", escaped(token)),
        }
    }
}

/// A token in a query (RFC 3986): whatever the server made of it, it cannot add a parameter.
fn escaped(token: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    token.bytes().map(escape).collect()
}

async fn output(
    client: &kube::Client,
    at: &Ref,
    container: Option<&Name>,
    argv: &[String],
) -> Result<Value, Unreadable> {
    let ran = exec(client, at, container, argv).await?;
    let said = || ran.stderr.trim().chars().take(200).collect();
    if ran.code != 0 {
        return Err(Unreadable::Exited { code: ran.code, stderr: said() });
    }
    serde_json::from_str(&ran.stdout).map_err(|source| Unreadable::NoJson { source, stderr: said() })
}
