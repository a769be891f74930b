//! Who may write is moved by one step at a time (I5): of steps that run at once nobody knows which comes first, so a fence, a promotion and
//! the removal of a fault beside each other may leave two sides that accept.

use super::sides::Sides;
use super::{Placed, add, steps};
use crate::document::Diagnostic;
use crate::model::effect::Ref;
use crate::model::plan::Side;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let sides = Sides::new(scenario);
    let mut found = Vec::new();
    for group in steps(scenario) {
        let Action::Parallel(inner) = &group.step.action else { continue };
        let path = group.action();
        let mut at_once = Vec::new();
        for (index, step) in inner.iter().enumerate() {
            let mut branch = Vec::new();
            add(scenario, &mut branch, Placed { step, path: path.then(index), ..group.clone() });
            at_once.push(branch);
        }
        for (index, branch) in at_once.iter().enumerate() {
            for placed in branch {
                let earlier = at_once[..index].iter().flatten();
                let same = |other: &&Placed| sides.bear_on_one_workload(other, placed);
                if let Some(other) = earlier.into_iter().find(same) {
                    let message = format!(
                        "`{}` runs at once with `{}`: which of them is first decides whether two sides accept writes",
                        placed.step.id, other.step.id
                    );
                    let error = placed.text.error(&placed.action(), message);
                    found.push(error.help("put them one after another, outside of `parallel`"));
                }
            }
        }
    }
    found
}

impl Sides<'_> {
    /// Whether two steps both decide who may write to a workload, at least one of them by its side.
    fn bear_on_one_workload(&self, one: &Placed, other: &Placed) -> bool {
        let (ones, others) = (self.moves(one), self.moves(other));
        let same = |a: &Ref, b: &Ref| (&a.namespace, &a.name) == (&b.namespace, &b.name);
        ones.iter().any(|a| others.iter().any(|b| same(a, b)))
            || ones.iter().any(|pod| self.cuts_or_frees(other, pod))
            || others.iter().any(|pod| self.cuts_or_frees(one, pod))
    }

    /// The pods that a step promotes, or keeps from writing.
    fn moves(&self, placed: &Placed) -> Vec<Ref> {
        let promoted = self.authority(placed).and_then(|moved| moved.takeover().map(Side::pod).cloned());
        promoted.into_iter().chain(self.kept_off(placed)).collect()
    }
}
