//! The arithmetic of a rolling update, as Kubernetes' deployment controller does it: how many replicas each set gets next.

use serde_json::Value;

use super::read;

/// A replica set's size: asked for, and available now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub wanted: i64,
    pub available: i64,
}

/// How far a rolling update may go over and under the wanted number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub desired: i64,
    pub surge: i64,
    pub unavailable: i64,
}

impl Limits {
    /// The limits of a deployment: 25 % each by default, surge rounded up, unavailable down, never both zero.
    pub fn of(deployment: &Value) -> Limits {
        let desired = read::number(deployment, "/spec/replicas").unwrap_or(1).max(0);
        let field = |name: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{name}"));
        let surge = read::share(field("maxSurge"), "25%", desired, true).max(0);
        let unavailable = read::share(field("maxUnavailable"), "25%", desired, false).clamp(0, desired);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Limits { desired, surge, unavailable }
    }
}

/// The next sizes of the new set and of the old ones, oldest first: one step up, or else as far down as availability allows.
pub fn step(limits: Limits, new: Size, old: &[Size]) -> (i64, Vec<i64>) {
    let mut next: Vec<i64> = old.iter().map(|set| set.wanted).collect();
    let total = new.wanted + next.iter().sum::<i64>();
    if new.wanted > limits.desired {
        return (limits.desired, next);
    }
    let up = (limits.desired + limits.surge - total).min(limits.desired - new.wanted);
    if up > 0 {
        return (new.wanted + up, next);
    }
    let least = limits.desired - limits.unavailable;
    let mut spare = total - least - (new.wanted - new.available).max(0);
    if spare <= 0 {
        return (new.wanted, next);
    }
    // Pods that are not available cost nothing: they go first.
    for (size, set) in next.iter_mut().zip(old) {
        let down = (set.wanted - set.available).clamp(0, spare);
        *size -= down;
        spare -= down;
    }
    let mut down = new.available + old.iter().map(|set| set.available).sum::<i64>() - least;
    for size in &mut next {
        let less = down.clamp(0, *size);
        *size -= less;
        down -= less;
    }
    (new.wanted, next)
}

/// A set that is scaled together with others: its size, and the most pods that all of them might have when it got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub wanted: i64,
    pub of: i64,
}

/// The sizes of sets, oldest first, when their deployment is scaled in the middle of a rollout: each grows or shrinks in proportion, and
/// the largest takes what rounding leaves.
pub fn in_proportion(limits: Limits, sets: &[Share]) -> Vec<i64> {
    let mut next: Vec<i64> = sets.iter().map(|set| set.wanted).collect();
    let most = if limits.desired > 0 { limits.desired + limits.surge } else { 0 };
    let mut left = most - next.iter().sum::<i64>();
    if left == 0 {
        return next;
    }
    let grows = left > 0;
    let mut order: Vec<usize> = (0..sets.len()).collect();
    if grows {
        order.reverse();
    }
    order.sort_by_key(|&index| std::cmp::Reverse(sets[index].wanted));
    for &index in &order {
        let Share { wanted, of } = sets[index];
        let share = if of > 0 { (2 * wanted * most + of) / (2 * of) - wanted } else { 0 };
        let change = if grows { share.min(left) } else { share.max(left) };
        next[index] += change;
        left -= change;
    }
    if let Some(&largest) = order.first() {
        next[largest] = (next[largest] + left).max(0);
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_update_whose_pods_never_get_ready_stops_at_its_limits() {
        let limits = Limits { desired: 4, surge: 1, unavailable: 1 };
        let old = Size { wanted: 4, available: 4 };
        assert_eq!(step(limits, Size { wanted: 0, available: 0 }, &[old]), (1, vec![4]));
        let new = Size { wanted: 1, available: 0 };
        assert_eq!(step(limits, new, &[old]), (1, vec![3]));
        assert_eq!(step(limits, new, &[Size { wanted: 3, available: 3 }]), (2, vec![3]));
        let new = Size { wanted: 2, available: 0 };
        assert_eq!(step(limits, new, &[Size { wanted: 3, available: 3 }]), (2, vec![3]), "it stalls");
    }

    #[test]
    fn sets_are_scaled_in_proportion_and_the_largest_takes_the_rest() {
        let sets = [Share { wanted: 8, of: 13 }, Share { wanted: 5, of: 13 }];
        let limits = |desired| Limits { desired, surge: 3, unavailable: 2 };
        assert_eq!(in_proportion(limits(15), &sets), [11, 7]);
        assert_eq!(in_proportion(limits(10), &sets), [8, 5]);
        assert_eq!(in_proportion(limits(3), &sets), [4, 2]);
        assert_eq!(in_proportion(limits(0), &sets), [0, 0]);
    }

    proptest! {
        #[test]
        fn an_update_keeps_its_limits_all_the_way_and_ends(
            desired in 0_i64..30, surge in 0_i64..8, unavailable in 0_i64..8, other in 0_i64..5
        ) {
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            let limits = Limits { desired, surge, unavailable: unavailable.min(desired.max(1)) };
            let (mut new, mut old) = (Size { wanted: 0, available: 0 }, vec![
                Size { wanted: other.min(desired), available: 0 },
                Size { wanted: desired - other.min(desired), available: desired - other.min(desired) },
            ]);
            let mut rounds = 0;
            while new.available < desired || old.iter().any(|set| set.wanted > 0) {
                let before: i64 = new.available + old.iter().map(|set| set.available).sum::<i64>();
                let (wanted, sizes) = step(limits, new, &old);
                new.wanted = wanted;
                for (set, wanted) in old.iter_mut().zip(sizes) {
                    set.wanted = wanted;
                    set.available = set.available.min(wanted);
                }
                let total = new.wanted + old.iter().map(|set| set.wanted).sum::<i64>();
                let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
                prop_assert!(total <= desired + surge);
                prop_assert!(available >= before.min(desired - limits.unavailable));
                new.available = (new.available + 1).min(new.wanted);
                rounds += 1;
                prop_assert!(rounds < 200, "it does not end: {new:?} {old:?}");
            }
        }
    }
}
