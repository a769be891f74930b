//! How an outage ended: seen, never, or nobody knows when, and what is known of it then.

use super::measured::Actual;
use crate::model::outage::Outage;
use crate::model::time::{At, Interval, Span};

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Restored {
    /// There was none.
    Unharmed,
    At(Interval, String),
    /// At least until here.
    Never(At),
    /// Nobody knows when, why, and until when it surely was not.
    Unsure(String, Option<At>),
}

impl Restored {
    /// Until when it surely was not.
    pub fn surely_until(&self) -> Option<At> {
        match self {
            Restored::Unharmed => None,
            Restored::At(at, _) => Some(at.earliest),
            Restored::Never(until) => Some(*until),
            Restored::Unsure(_, not_before) => *not_before,
        }
    }

    /// The same where it may have been over sooner, from an instant on.
    pub fn no_sooner_than(self, soonest: At) -> Restored {
        match self {
            Restored::Unharmed => Restored::Unharmed,
            Restored::At(at, by) => Restored::At(Interval { earliest: at.earliest.min(soonest), ..at }, by),
            Restored::Never(_) => {
                let why = "it may have been restored for long enough before it failed again";
                Restored::Unsure(why.to_owned(), Some(soonest))
            }
            Restored::Unsure(why, not_before) => {
                Restored::Unsure(why, not_before.map(|until| until.min(soonest)))
            }
        }
    }

    /// The same where the way back may have cut it short: it was over when what failed on the way back was, as if that were a part of it.
    pub fn with_the_way_back(self, over: Interval) -> Self {
        let Some(earliest) = self.surely_until() else { return self };
        let by = match &self {
            Restored::At(_, by) => format!("{by}, if the way back cut nothing short"),
            Restored::Unharmed | Restored::Never(_) | Restored::Unsure(..) => {
                "the way back, which may have cut it short".to_owned()
            }
        };
        Restored::At(Interval { earliest, latest: over.latest.max(earliest) }, by)
    }

    /// How long it took from an origin to what was seen to end then.
    pub fn since(&self, origin: Interval) -> Actual {
        match self {
            Restored::Unharmed => Actual::Took(Span::ZERO),
            Restored::At(end, _) => Actual::Took(origin.until(end)),
            Restored::Never(until) => Actual::Took(Span::at_least(until.since(origin.latest))),
            Restored::Unsure(why, not_before) => {
                Actual::unseen_after(why, not_before.map(|until| until.since(origin.latest)))
            }
        }
    }

    /// When it was, if it was.
    pub fn at(&self) -> Option<Interval> {
        match self {
            Restored::At(at, _) => Some(*at),
            Restored::Unharmed | Restored::Never(_) | Restored::Unsure(..) => None,
        }
    }
}

/// What saw an outage.
pub(super) struct Source<'a> {
    /// `probe checkout from west`.
    pub name: &'a str,
    /// When the last was sent of which it knows how it went.
    pub seen_until: At,
}

impl Source<'_> {
    /// How one ended, of what came before `stop`. One that may have begun then or after it may be what stopped the drill, or
    /// what healing did.
    pub fn end_of(&self, outage: &Outage, stop: At) -> Restored {
        match (outage.end, outage.unconfirmed) {
            _ if outage.begin.latest >= stop => {
                let why = format!("{} may have failed only after the drill was stopped", self.name);
                Restored::Unsure(why, None)
            }
            (Some(end), _) if end.latest <= stop => Restored::At(end, self.name.to_owned()),
            (None, Some(at)) if at.latest <= stop => {
                let why = format!("{} succeeded again, but not for long enough to be sure", self.name);
                Restored::Unsure(why, Some(at.earliest))
            }
            (Some(_) | None, _) => Restored::Never(self.lasted_until(outage, stop)),
        }
    }

    /// Until when one surely lasted, of what came before `stop` and of what was seen at all.
    pub fn lasted_until(&self, outage: &Outage, stop: At) -> At {
        outage.end.or(outage.unconfirmed).map_or(self.seen_until, |up| up.earliest).min(stop)
    }
}

/// The later end of two; what one saw end and another did not is disagreement, and inconclusive.
pub(super) fn later(known: Restored, new: Restored) -> Restored {
    match (known, new) {
        (Restored::Unharmed, other) | (other, Restored::Unharmed) => other,
        (Restored::At(a, from_a), Restored::At(b, from_b)) => {
            Restored::At(a.max(&b), if b.latest > a.latest { from_b } else { from_a })
        }
        (Restored::Never(a), Restored::Never(b)) => Restored::Never(a.max(b)),
        (Restored::Unsure(why, not_before), other) | (other, Restored::Unsure(why, not_before)) => {
            // Of what one never saw end, another may have: they would disagree.
            let others = other.surely_until().filter(|_| !matches!(other, Restored::Never(_)));
            Restored::Unsure(why, not_before.max(others))
        }
        (Restored::At(_, from), Restored::Never(_)) | (Restored::Never(_), Restored::At(_, from)) => {
            let why = format!("the vantages disagree to the end: only {from} saw it restored");
            Restored::Unsure(why, None)
        }
    }
}
