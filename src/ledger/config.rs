//! What a node is told by its environment.

use std::collections::BTreeMap;

use super::Role;
use crate::http::{Ask, BadRequest};
use crate::model::time::{Duration, DurationError};

/// A node's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `LEDGER_ROLE`: the role of an empty store; also the side, which never changes: it decides whose epochs are odd.
    pub role: Role,
    /// `LEDGER_PEER`: the URL of the other side.
    pub peer: Option<String>,
    /// `LEDGER_SHIP_EVERY`: the interval of asynchronous replication.
    pub ship_every: Duration,
    /// `LEDGER_SNAPSHOT_EVERY`: how often a copy is taken; never where it is zero.
    pub snapshot_every: Duration,
    /// `LEDGER_PORT`
    pub port: u16,
    /// `HOSTNAME`: its pod, which it tells whoever reads.
    pub pod: Option<String>,
    /// `LEDGER_NAMESPACE`: its pod's namespace, told along with it (the downward API's `metadata.namespace`).
    pub namespace: Option<String>,
}

/// Why an environment is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    #[error("LEDGER_ROLE is `{0}`: use primary or replica")]
    Role(String),
    #[error("LEDGER_PEER is not a peer's URL: {0}")]
    Peer(BadRequest),
    #[error("{name} is no interval: {source}")]
    Interval { name: &'static str, source: DurationError },
    #[error("LEDGER_PORT is `{0}`: use a number from 1 to 65535")]
    Port(String),
}

impl Config {
    /// Reads the settings; what is left out has a default: a primary without a peer, which ships every 100ms and takes no copies.
    ///
    /// # Errors
    /// Where a setting makes no sense.
    pub fn from_env(env: &BTreeMap<String, String>) -> Result<Config, BadConfig> {
        let text = |name: &str| env.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let interval = |name: &'static str, default: Duration| match text(name) {
            Some(text) => text.parse().map_err(|source| BadConfig::Interval { name, source }),
            None => Ok(default),
        };
        let peer = text("LEDGER_PEER").map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &peer {
            Ask::get(url).map_err(BadConfig::Peer)?;
        }
        Ok(Config {
            role: match text("LEDGER_ROLE") {
                None | Some("primary") => Role::Primary,
                Some("replica") => Role::Replica,
                Some(other) => return Err(BadConfig::Role(other.chars().take(40).collect())),
            },
            peer,
            pod: text("HOSTNAME").map(str::to_owned),
            namespace: text("LEDGER_NAMESPACE").map(str::to_owned),
            ship_every: interval("LEDGER_SHIP_EVERY", Duration::from_millis(100))?,
            snapshot_every: interval("LEDGER_SNAPSHOT_EVERY", Duration::ZERO)?,
            port: match text("LEDGER_PORT") {
                None => 8080,
                Some(text) => match text.parse() {
                    Ok(port) if port > 0 => port,
                    Ok(_) | Err(_) => return Err(BadConfig::Port(text.chars().take(40).collect())),
                },
            },
        })
    }
}
