//! Two nodes against a model of plain lists.

use proptest::prelude::*;

use super::super::wire::payload;
use super::*;

fn record(number: u64) -> Record {
    let payload = payload("r", number);
    Record { run: "r".into(), number, digest: digest(&payload), payload, synthetic: true }
}

/// What a node holds, as plainly as can be said: what was written where, nothing about epochs.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    role: Option<Role>,
    /// `None` stands for the beginning of an epoch, with who began it and as how manieth.
    log: Vec<Result<u64, (usize, u64)>>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Ship(usize, usize),
    Promote(usize),
    Fence(usize),
    Resync(usize),
    Copy(usize),
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let side = || 0..2usize;
    prop_oneof![
        6 => side().prop_map(Step::Write),
        4 => (side(), 0..4usize).prop_map(|(side, count)| Step::Ship(side, count)),
        1 => side().prop_map(Step::Promote),
        1 => side().prop_map(Step::Fence),
        2 => side().prop_map(Step::Resync),
        1 => side().prop_map(Step::Copy),
        1 => side().prop_map(Step::Restore),
    ]
}

/// Two nodes beside their models.
struct Sides {
    nodes: [Node; 2],
    models: [Model; 2],
    copies: [Vec<Model>; 2],
    changes: [Vec<Change>; 2],
    next: u64,
}

impl Sides {
    fn change(&mut self, side: usize, change: Change) {
        self.changes[side].push(change.clone());
        self.nodes[side].apply(change);
    }

    fn began(&mut self, side: usize) {
        self.next += 1;
        self.models[side].log.push(Err((side, self.next)));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(side) => {
                self.next += 1;
                let decided = self.nodes[side].write(record(self.next));
                assert_eq!(decided.is_ok(), self.models[side].role == Some(Role::Primary));
                if let Ok(change) = decided {
                    self.models[side].log.push(Ok(self.next));
                    self.change(side, change);
                }
            }
            Step::Ship(to, count) => self.ship(to, count),
            Step::Promote(side) => {
                if let Some(change) = self.nodes[side].promote() {
                    self.models[side].role = Some(Role::Primary);
                    self.began(side);
                    self.change(side, change);
                }
            }
            Step::Fence(side) => {
                self.models[side].role = Some(Role::Fenced);
                self.change(side, Change::Fence);
            }
            Step::Resync(side) => {
                if let Ok(Some(change)) = self.nodes[side].resync() {
                    self.models[side].role = Some(Role::Replica);
                    self.change(side, change);
                }
            }
            Step::Copy(side) => {
                let copies = &mut self.copies[side];
                copies.push(self.models[side].clone());
                copies.drain(..copies.len().saturating_sub(COPIES));
                self.change(side, Change::Copy);
            }
            Step::Restore(side) => {
                if let Ok(change) = self.nodes[side].restore() {
                    self.models[side].log = self.copies[side].last().unwrap().log.clone();
                    self.began(side);
                    self.change(side, change);
                }
            }
        }
    }

    /// One poll of a replica; the oracle compares whole contents.
    fn ship(&mut self, to: usize, count: usize) {
        let from = 1 - to;
        if self.models[to].role != Some(Role::Replica) || self.models[from].role != Some(Role::Primary) {
            return;
        }
        let (theirs, ours) = (self.models[from].log.clone(), self.models[to].log.clone());
        let common = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
        let after = self.nodes[to].last();
        let follows = self.nodes[from].epoch_at(after) == self.nodes[to].epoch_at(after);
        assert_eq!(follows, common == ours.len(), "only a beginning of the primary's log follows it");
        if follows {
            let entries = self.nodes[from].entries(after).take(count).cloned().collect::<Vec<_>>();
            self.models[to].log.extend_from_slice(&theirs[common..common + entries.len()]);
            entries.into_iter().for_each(|entry| self.change(to, Change::Append(entry)));
        } else {
            let after = self.nodes[to].follow_from(&self.nodes[from].epochs(), self.nodes[from].last());
            assert_eq!(after, common as u64, "exactly what differs is dropped");
            if self.nodes[to].may_drop() {
                self.models[to].log.truncate(common);
                self.change(to, Change::Drop { after });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_nodes_do_what_a_model_of_plain_lists_does(steps in prop::collection::vec(step(), 0..60)) {
        let roles = [Role::Primary, Role::Replica];
        let mut sides = Sides {
            nodes: roles.map(Node::new),
            models: roles.map(|role| Model { role: Some(role), log: Vec::new() }),
            copies: Default::default(),
            changes: Default::default(),
            next: 0,
        };
        for step in steps {
            sides.take(step);
            for side in 0..2 {
                let (node, model) = (&sides.nodes[side], &sides.models[side]);
                prop_assert_eq!(Some(node.role()), model.role);
                prop_assert_eq!(node.last(), model.log.len() as u64);
                let numbers: Vec<u64> = node.page("r", 0, PAGE).records.iter().map(|read| read.record.number).collect();
                let written: Vec<u64> = model.log.iter().filter_map(|held| held.ok()).collect();
                prop_assert_eq!(numbers, written);
            }
        }
        for (side, role) in roles.into_iter().enumerate() {
            let mut again = Node::new(role);
            for change in sides.changes[side].drain(..) {
                let line = serde_json::to_string(&change).unwrap();
                again.apply(serde_json::from_str(&line).unwrap());
            }
            prop_assert_eq!(&again, &sides.nodes[side]);
        }
    }
}

#[test]
fn pages_give_every_record_once() {
    let mut node = Node::new(Role::Primary);
    for number in 1..=25 {
        node.apply(node.write(record(number)).unwrap());
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = node.page("r", after, 10);
        seen.extend(page.records.iter().map(|read| read.record.number));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
}

#[test]
fn a_tail_with_a_removal_is_dropped_with_all_before_it() {
    let mut node = Node::new(Role::Primary);
    node.apply(node.write(record(1)).unwrap());
    node.apply(node.write(record(2)).unwrap());
    node.apply(node.remove("r").unwrap());
    assert_eq!(node.follow_from(&[(1, 1), (2, 3)], 9), 0);
    assert_eq!(node.follow_from(&[(1, 1), (2, 4)], 9), 3);
}

/// A primary with so many records, and a copy after each.
fn copied(records: u64) -> Node {
    let mut node = Node::new(Role::Primary);
    for number in 1..=records {
        node.apply(node.write(record(number)).unwrap());
        node.apply(Change::Copy);
    }
    node
}

fn restored(mut node: Node) -> u64 {
    node.apply(node.restore().unwrap());
    assert_eq!(node.corrupt(), 0);
    node.count("r")
}

#[test]
fn the_newest_copies_are_kept_and_the_newest_intact_one_is_put_back() {
    let mut node = copied(6);
    assert_eq!((node.copies(), restored(node.clone())), (COPIES, 6));
    node.apply(node.damage(1).unwrap());
    node.apply(Change::Copy);
    node.apply(Change::Copy);
    assert_eq!(restored(node.clone()), 6, "two copies are damaged, two are not");
    node.apply(Change::Copy);
    node.apply(Change::Copy);
    assert_eq!(node.restore(), Err(Refused::NoCopy));
}

#[test]
fn so_many_records_are_damaged_whatever_stands_between_them() {
    let mut node = Node::new(Role::Primary);
    for number in 1..=4 {
        node.apply(node.write(record(number)).unwrap());
        node.apply(node.repair().unwrap());
    }
    node.apply(node.damage(3).unwrap());
    assert_eq!(node.corrupt(), 3);
    let shown = node.page("r", 0, PAGE).records;
    let intact: Vec<bool> =
        shown.iter().map(|read| digest(&read.record.payload) == read.record.digest).collect();
    assert_eq!(intact, [true, false, false, false]);
}
