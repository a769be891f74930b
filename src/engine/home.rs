//! The way home: nothing was promoted, so all of it is put back, and nobody is sent to where nobody serves (I4).
//!
//! ```text
//! faults ─► recoveries in the lost side ─► it is healthy ─► names ─► no resolver leads away any more ─► recoveries elsewhere
//! ```
//! Each of the four newest first. What one of them is in the way of stays, and is listed. Names go before all else that stands
//! elsewhere, whatever was done first: what serves users is taken away only behind them. Resolvers keep an answer for its TTL (RFC 1035,
//! section 3.2.1) from when the name servers changed theirs, so that is looked for and written down, and who goes on after a death waits
//! from there.

use std::collections::BTreeMap;

use super::heal::left_open;
use super::health::{HEALTHY_WITHIN, LOOK_EVERY};
use super::{Engine, Shown, api};
use crate::model::dns;
use crate::model::effect::{EffectId, Of, Ref, Resource};
use crate::model::event::{Outcome, Outstanding, SinkError, What};
use crate::model::name::{Name, StepId};
use crate::model::scene::Progress;
use crate::model::time::{At, Duration};
use crate::undo::Open;

impl Engine {
    /// Puts all of it back; returns what is left.
    pub(super) async fn go_home(&self, open: &[Open], by: &Name) -> Result<Vec<Outstanding>, SinkError> {
        let mut left = Vec::new();
        for open in faults(open) {
            left.extend(self.undo(open, by).await?);
        }
        // Read anew: a recovery that found what a fault wrote must not put that back, now that the fault is gone.
        let still = self.open();
        let (faults, recoveries): (Vec<&Open>, Vec<&Open>) =
            still.iter().partition(|open| open.effect.of == Of::Fault);
        let (inside, elsewhere): (Vec<&Open>, Vec<&Open>) =
            recoveries.into_iter().partition(|open| self.is_in_the_lost_side(open));
        let (names, behind): (Vec<&Open>, Vec<&Open>) = elsewhere.iter().partition(|open| is_name(open));
        if let Some(fault) = faults.first() {
            let why = format!("what the fault of step {} changed was not put back", fault.step);
            left.extend(stay(&[inside, elsewhere].concat(), &why));
            return Ok(left);
        }
        // Its own recoveries are a part of its health, and to reverse the others would send users to a side that cannot serve them.
        let unfit = match self.undo_each(&inside, by, &mut left).await? {
            None => self.lost_side_unhealthy().await?,
            not_back => not_back,
        };
        if let Some(why) = unfit {
            left.extend(stay(&elsewhere, &why));
            return Ok(left);
        }
        let led_away = match self.undo_each(&names, by, &mut left).await? {
            None if !behind.is_empty() => self.led_away().await?,
            not_back => not_back,
        };
        match led_away {
            Some(why) => left.extend(stay(&behind, &why)),
            None => drop(self.undo_each(&behind, by, &mut left).await?),
        }
        Ok(left)
    }

    /// Takes effects back, and says why the first that is left was not.
    async fn undo_each(
        &self,
        open: &[&Open],
        by: &Name,
        left: &mut Vec<Outstanding>,
    ) -> Result<Option<String>, SinkError> {
        let mut amiss = None;
        for open in open {
            if let Some(undone) = self.undo(open, by).await? {
                amiss.get_or_insert(format!("what step {} changed was not put back", open.step));
                left.push(undone);
            }
        }
        Ok(amiss)
    }

    /// Whether it changed the lost side itself: then it is a part of that side's health. A name's record may stand there, and is its users'.
    fn is_in_the_lost_side(&self, open: &Open) -> bool {
        let at = open.effect.act.at();
        at.is_some_and(|at| Some(&at.region) == self.plan.lost.as_ref()) && !is_name(open)
    }

    /// Waits until no name that was put back leads users away any more; why one may still, when time is up.
    pub(super) async fn led_away(&self) -> Result<Option<String>, SinkError> {
        for (at, since) in self.names_put_back() {
            let (seen, ttl) = match self.published(&at, since).await? {
                Ok(published) => published,
                Err(why) => return Ok(Some(format!("users may be led away: {why}"))),
            };
            let more = seen.plus(ttl).since(self.world.clock.now());
            let what =
                format!("resolvers may lead users away for {} more, as {at} was", more.in_whole_millis());
            if more > HEALTHY_WITHIN {
                return Ok(Some(what));
            }
            self.recorder.show(Shown::Waiting { what: &what, at_most: more });
            tokio::time::sleep(more.std()).await;
        }
        Ok(None)
    }

    /// The records that recoveries changed and that are as before, each with when it was found or put back so.
    fn names_put_back(&self) -> BTreeMap<Ref, At> {
        self.recorder.with_events(|events| {
            let mut changed: BTreeMap<EffectId, &Ref> = BTreeMap::new();
            let mut back = BTreeMap::new();
            for event in events {
                if let What::EffectIntended { effect, .. } = &event.what
                    && effect.of != Of::Fault
                {
                    let record = effect.act.at().filter(|at| at.resource == Resource::dns_endpoints());
                    changed.extend(record.map(|at| (effect.id, at)));
                }
                if let What::UndoEnded { effect, outcome: Outcome::Ok, .. } = &event.what {
                    back.extend(changed.get(effect).map(|at| ((*at).clone(), event.at)));
                }
            }
            back
        })
    }

    /// When the name servers were first seen to answer what a record says since it was put back, and how long resolvers may keep what they
    /// answered before; why not, when time is up.
    async fn published(&self, at: &Ref, since: At) -> Result<Result<(At, Duration), String>, SinkError> {
        let name = format!("published:{at}");
        let known = self.recorder.with_events(|events| {
            let seen = |what: &What| matches!(what, What::Observed { what, outcome: Outcome::Ok, .. } if *what == name);
            events.iter().find(|event| event.at >= since && seen(&event.what)).map(|event| event.at)
        });
        let sent = self.world.clock.now();
        let deadline = sent.plus(HEALTHY_WITHIN);
        self.recorder.show(Shown::Waiting { what: &name, at_most: HEALTHY_WITHIN });
        loop {
            let looked = self.answered_by_name_servers(at).await;
            match (looked, known) {
                (Ok((_, ttl)), Some(seen)) => return Ok(Ok((seen, ttl))),
                (Ok((Progress::Done, ttl)), None) => {
                    self.observed(name, sent, Outcome::Ok)?;
                    return Ok(Ok((self.world.clock.now(), ttl)));
                }
                (Ok((Progress::Waiting(why), _)) | Err(why), _) if self.world.clock.now() >= deadline => {
                    self.observed(name, sent, Outcome::failed(&why))?;
                    return Ok(Err(why));
                }
                (Ok((Progress::Waiting(_), _)) | Err(_), _) => tokio::time::sleep(LOOK_EVERY.std()).await,
            }
        }
    }

    /// Whether the name servers answer what a record says, and the longest TTL of its addresses.
    async fn answered_by_name_servers(&self, at: &Ref) -> Result<(Progress, Duration), String> {
        let failed = |outcome: Outcome| outcome.why().unwrap_or_default().to_owned();
        let client = self.client(&at.region).map_err(failed)?;
        let object = match api::get(client, at).await {
            api::Reply::Done(object) => object,
            reply => return Err(format!("{at}: {}", failed(reply.outcome()))),
        };
        let records = dns::address_records(&object);
        let ttl = records.iter().map(|record| record.ttl).max().unwrap_or_default();
        let watches: Vec<_> = records.iter().flat_map(|record| dns::watches(&record.host)).collect();
        let facts = crate::inventory::read(&self.world, &watches).await;
        for record in &records {
            match dns::answers(&record.host, &record.targets, &facts) {
                Ok(Progress::Done) => {}
                Ok(waiting @ Progress::Waiting(_)) => return Ok((waiting, ttl)),
                Err(unread) => return Err(unread.to_string()),
            }
        }
        Ok((Progress::Done, ttl))
    }
}

/// Whether it changed a name's record.
fn is_name(open: &Open) -> bool {
    open.effect.act.at().is_some_and(|at| at.resource == Resource::dns_endpoints())
}

/// The effects of faults as they are taken back: the newest step first, and what a step did in the order in which it did it, so that who
/// reads a thing is restarted after the thing is right again.
pub(super) fn faults(open: &[Open]) -> Vec<&Open> {
    let mut steps: Vec<(&StepId, Vec<&Open>)> = Vec::new();
    for open in open.iter().filter(|open| open.effect.of == Of::Fault) {
        match steps.iter_mut().find(|(step, _)| *step == &open.step) {
            Some((_, effects)) => effects.insert(0, open),
            None => steps.push((&open.step, vec![open])),
        }
    }
    steps.into_iter().flat_map(|(_, effects)| effects).collect()
}

/// Effects that stay until something else is mended.
fn stay(open: &[&Open], why: &str) -> Vec<Outstanding> {
    let advice = format!("it stays, since {why}: mend that, and run `drillmaster heal` again");
    open.iter().map(|open| left_open(open, &advice)).collect()
}
