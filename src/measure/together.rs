//! Which outages are one: of one vantage across a border, and of several vantages one after the other.

use crate::model::outage::Outage;
use crate::model::target::{RestoredClause, Share};
use crate::model::time::{At, Duration};

/// What belongs together of what failed one after the other: where the one ended and the other began is known to intervals only.
#[derive(Clone, Copy)]
pub(super) enum Join {
    /// What surely does.
    Surely,
    /// What may.
    Maybe,
}

/// The first outage of a service, out of those that each vantage saw: it is over once all of them were served for as long as the clause
/// asks. What comes after it interrupts the service again. A clause that tolerates failures counted those of a vantage's own already: there
/// only what the others saw can belong together.
pub(super) fn first_outage(seen: Vec<Vec<Outage>>, clause: &RestoredClause, join: Join) -> Vec<Vec<Outage>> {
    let mut all: Vec<(usize, Outage)> = Vec::new();
    let mut first = vec![Vec::new(); seen.len()];
    for (vantage, outages) in seen.into_iter().enumerate() {
        all.extend(outages.into_iter().map(|outage| (vantage, outage)));
    }
    all.sort_by_key(|(_, outage)| outage.begin.latest);
    let tolerates = clause.success != Share::ALL;
    let mut over: Vec<Option<At>> = vec![None; first.len()];
    for (vantage, outage) in all {
        let (begun, ended) = match join {
            Join::Surely => (outage.begin.latest, outage.end.map(|end| end.earliest)),
            Join::Maybe => (outage.begin.earliest, outage.end.map(|end| end.latest)),
        };
        let counted = over.iter().enumerate().filter(|(other, _)| !tolerates || *other != vantage);
        let is_first = over.iter().all(Option::is_none);
        if !is_first && counted.map(|(_, over)| *over).max().flatten().is_none_or(|over| begun > over) {
            break;
        }
        let served = ended.map_or(At(i64::MAX), |end| end.plus(clause.lasting));
        over[vantage] = over[vantage].max(Some(served));
        first[vantage].push(outage);
    }
    first
}

/// From when on whoever suffered an outage was surely served again for as long as the clause asks.
pub(super) fn served_from(outage: &Outage, lasting: Duration) -> At {
    outage.end.map_or(At(i64::MAX), |end| end.earliest.plus(lasting))
}

/// Those since the fault, as if the failback parted none.
pub(super) fn joined(outages: &[Outage], since: At) -> Vec<Outage> {
    let mut joined: Vec<Outage> = Vec::new();
    for outage in outages.iter().filter(|outage| since <= outage.begin.latest) {
        match joined.last_mut().filter(|last| last.ends_with_its_side) {
            Some(cut) => {
                let Outage { begin, side, gap_at_begin, first_success, .. } = *cut;
                *cut = Outage { begin, side, gap_at_begin, first_success, ..outage.clone() };
            }
            None => joined.push(outage.clone()),
        }
    }
    joined
}
