//! Follows the peer while the node is a replica: one long poll after the other, over one connection.
//!
//! A poll that breaks or hangs times out and is asked again. A replica never drops what it has unless it was told to resynchronise.

use super::wire::{Diverged, Shipped};
use super::{Change, Role, Service};
use crate::http::{Ask, Connection, Exchange};
use crate::model::time::Duration;

/// How long a poll may wait for news: idle costs one exchange in that time.
const WAIT: Duration = Duration::from_secs(10);
/// How much later than its wait a poll is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until a peer that did not answer, or is not primary, is asked again.
const RETRY: Duration = Duration::from_millis(500);

impl Service {
    /// Follows the peer for ever; does nothing while the node is no replica or has no peer.
    pub async fn replicate(&self) {
        let ask = self.config.peer.as_ref().and_then(|peer| Ask::get(peer).ok());
        let Some(ask) = ask else { return std::future::pending().await };
        loop {
            self.until(|state| state.node.role() == Role::Replica).await;
            let mut connection = None;
            tokio::select! {
                biased;
                () = self.until(|state| state.node.role() != Role::Replica) => {}
                () = self.follow(&ask, &mut connection) => {}
            }
        }
    }

    async fn follow(&self, ask: &Ask, connection: &mut Option<Connection>) {
        loop {
            let answer = self.poll(ask, connection).await;
            if !answer.is_some_and(|answer| self.learn(&answer)) {
                let lost_sight = {
                    let mut state = self.state();
                    state.behind.take().is_some()
                };
                if lost_sight {
                    self.tell();
                }
                tokio::time::sleep(RETRY.std()).await;
            }
        }
    }

    async fn poll(&self, ask: &Ask, connection: &mut Option<Connection>) -> Option<Exchange> {
        let (after, epoch, wait) = {
            let state = self.state();
            let after = state.node.last();
            let wait = if state.behind == Some(0) { WAIT } else { Duration::ZERO };
            (after, state.node.epoch_at(after)?, wait)
        };
        let ask = ask.with_target(&format!("/replicate?after={after}&epoch={epoch}&wait={wait}")).ok()?;
        let mut open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => Connection::open(&*self.net, &*self.clock, &ask, Some(PATIENCE)).await.ok()?,
        };
        let timeout = wait.plus(self.config.ship_every).plus(PATIENCE);
        let answer = open.exchange(&*self.clock, &ask, Some(timeout)).await.ok()?;
        *connection = Some(open);
        Some(answer)
    }

    /// Takes over what the primary shipped; says whether to go on at once.
    fn learn(&self, answer: &Exchange) -> bool {
        let mut state = self.state();
        if state.node.role() != Role::Replica {
            return false;
        }
        let (changes, last) = match answer.status {
            200 => match serde_json::from_slice::<Shipped>(&answer.body) {
                Ok(Shipped { entries, last }) => (entries.into_iter().map(Change::Append).collect(), last),
                Err(_) => return false,
            },
            409 => match serde_json::from_slice::<Diverged>(&answer.body) {
                Ok(Diverged { diverged, last }) if state.node.may_drop() => {
                    (vec![Change::Drop { after: state.node.follow_from(&diverged, last) }], last)
                }
                Ok(_) => {
                    state.diverged = true;
                    return false;
                }
                Err(_) => return false,
            },
            _ => return false,
        };
        if !changes.is_empty() && state.change(&self.config, self.clock.now(), changes).is_err() {
            return false;
        }
        state.diverged = false;
        state.behind = Some(last.saturating_sub(state.node.last()));
        drop(state);
        self.tell();
        true
    }
}
