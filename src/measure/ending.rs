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
    /// Nobody knows when, and why.
    Unsure(String, Known),
}

impl Restored {
    /// Until when it surely was not.
    pub fn surely_until(&self) -> Option<At> {
        match self {
            Restored::Unharmed => None,
            Restored::At(at, _) => Some(at.earliest),
            Restored::Never(until) => Some(*until),
            Restored::Unsure(_, known) => known.not_before,
        }
    }

    /// The same where it may have been over sooner, from an instant on.
    pub fn no_sooner_than(self, soonest: At) -> Restored {
        match self {
            Restored::Unharmed => Restored::Unharmed,
            Restored::At(at, by) => Restored::At(Interval { earliest: at.earliest.min(soonest), ..at }, by),
            Restored::Never(_) => {
                let why = "it may have been restored for long enough before it failed again";
                Restored::Unsure(why.to_owned(), Known { not_before: Some(soonest), by: None })
            }
            Restored::Unsure(why, known) => {
                let not_before = known.not_before.map(|until| until.min(soonest));
                Restored::Unsure(why, Known { not_before, ..known })
            }
        }
    }
}

/// What is known of an end that nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Known {
    /// It surely was not over before.
    pub not_before: Option<At>,
    /// It surely was over then.
    pub by: Option<Interval>,
}

impl Known {
    /// How long it took from an origin, as far as that is known; `why` it is not.
    pub fn since(&self, origin: Interval, why: &str) -> Actual {
        let least = self.not_before.map(|until| until.since(origin.latest));
        match (least, self.by) {
            (Some(least), Some(by)) => Actual::Took(Span { least, most: origin.until(&by).most }),
            (least, _) => Actual::unseen_after(why, least),
        }
    }
}

/// What saw outages.
pub(super) struct Source<'a> {
    /// `probe checkout from west`.
    pub name: &'a str,
    /// All that it saw, in order.
    pub outages: &'a [Outage],
    /// When the last was sent of which it knows how it went.
    pub seen_until: At,
}

impl Source<'_> {
    /// How one of its outages ended, of what came before `stop`. One that may have begun then or after it may be what stopped the drill, or
    /// what healing did.
    pub fn end_of(&self, outage: &Outage, stop: At) -> Restored {
        match (outage.end, outage.unconfirmed) {
            _ if outage.begin.latest >= stop => {
                let why = format!("{} may have failed only after the drill was stopped", self.name);
                Restored::Unsure(why, Known::default())
            }
            (Some(end), _) if end.latest <= stop => Restored::At(end, self.name.to_owned()),
            (None, Some(at)) if at.latest <= stop => {
                let why = format!("{} succeeded again, but not for long enough to be sure", self.name);
                let by = self.over_by(outage).filter(|by| by.latest <= stop);
                Restored::Unsure(why, Known { not_before: Some(at.earliest), by })
            }
            (Some(_) | None, _) => Restored::Never(self.lasted_until(outage, stop)),
        }
    }

    /// Until when one surely lasted, of what came before `stop` and of what was seen at all.
    pub fn lasted_until(&self, outage: &Outage, stop: At) -> At {
        outage.end.or(outage.unconfirmed).map_or(self.seen_until, |up| up.earliest).min(stop)
    }

    /// When what failed until its side ended, or shortly before, was over at the latest: with what failed right after it, as one outage.
    fn over_by(&self, outage: &Outage) -> Option<Interval> {
        let next = self.outages.partition_point(|one| one.begin.latest <= outage.begin.latest);
        let next = self.outages.get(next).filter(|_| outage.ends_with_its_side)?;
        next.end.filter(|_| !next.gap_at_end)
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
        (Restored::Unsure(why, known), other) | (other, Restored::Unsure(why, known)) => {
            // Of what one never saw end, another may have: they would disagree.
            let others = other.surely_until().filter(|_| !matches!(other, Restored::Never(_)));
            // What overlaps it elsewhere may have ended later.
            Restored::Unsure(why, Known { not_before: known.not_before.max(others), by: None })
        }
        (Restored::At(_, from), Restored::Never(_)) | (Restored::Never(_), Restored::At(_, from)) => {
            let why = format!("the vantages disagree to the end: only {from} saw it restored");
            Restored::Unsure(why, Known::default())
        }
    }
}
