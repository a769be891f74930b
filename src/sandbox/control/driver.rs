//! One loop over all controllers of a region: a queue without doubles, a heap of timers, and no order but its own.
//!
//! Changes, due timers and health signals name keys; the queue is first in, first out, so a controller sees all changes of an
//! instant in as few reconciles as there are keys. Writes happen under the same lock as the reading that they come from. A key that is looked
//! at again and again within one instant does not settle: it is reported and put off, so that the clock can go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::state::RegionState;
use super::super::store::{Change, ChangeKind, Key, Store};
use super::{Addresses, Controller, Processes, Reconciled, all};
use crate::model::time::{At, Duration};

/// How often one key may be reconciled within one instant.
const RECONCILES_PER_INSTANT: u32 = 200;
/// How long a key that does not settle is put off.
const PUT_OFF: Duration = Duration::from_secs(1);
/// How long a key whose writes were refused is put off, the first time and at most: each refusal in a row doubles it, as in Kubernetes' queues.
const FIRST_MILLISECONDS: u64 = 5;
const LONGEST: Duration = Duration::from_secs(1_000);
/// The clock's smallest step: the soonest that a timer can be due.
const SOONEST: Duration = Duration::from_millis(1);
/// How many lines about what did not settle are kept.
const COMPLAINTS: usize = 100;
/// How many reconciles run before other tasks get their turn.
const TURN: usize = 64;

/// A controller by its place, and the object that it looks at.
type Task = (usize, Key);

/// The controllers of a region, with what they still have to do.
pub struct Driver {
    controllers: Vec<Box<dyn Controller>>,
    queue: VecDeque<Task>,
    queued: BTreeSet<Task>,
    timers: BTreeMap<Task, At>,
    due: BTreeSet<(At, Task)>,
    /// The version up to which changes were heard; `None` before the first look.
    heard: Option<u64>,
    instant: At,
    counts: BTreeMap<Task, u32>,
    /// How often in a row the writes of a task were refused.
    refusals: BTreeMap<Task, u32>,
    reconciles: u64,
    unsettled: Vec<String>,
}

impl Driver {
    /// A driver that has looked at nothing yet.
    pub fn new(controllers: Vec<Box<dyn Controller>>) -> Self {
        Self {
            controllers,
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            timers: BTreeMap::new(),
            due: BTreeSet::new(),
            heard: None,
            instant: At(i64::MIN),
            counts: BTreeMap::new(),
            refusals: BTreeMap::new(),
            reconciles: 0,
            unsettled: vec![],
        }
    }

    /// How often any controller looked at anything.
    pub fn reconciles(&self) -> u64 {
        self.reconciles
    }

    /// What did not settle within an instant, or whose writes the store refused, a line each.
    pub fn unsettled(&self) -> &[String] {
        &self.unsettled
    }

    /// The next instant at which a timer is due.
    pub fn next(&self) -> Option<At> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes in a signal about the health of a pod or a node.
    pub fn signal(&mut self, state: &RegionState, signal: &Key) {
        let tasks: Vec<Task> = state.read(|store| {
            let each = self.controllers.iter().enumerate();
            each.flat_map(|(index, controller)| {
                controller.woken(store, signal).into_iter().map(move |key| (index, key))
            })
            .collect()
        });
        tasks.into_iter().for_each(|task| self.enqueue(task));
    }

    /// Does at most so many reconciles; whether there is nothing left to do at this instant.
    pub fn run(&mut self, state: &RegionState, processes: &dyn Processes, at_most: usize) -> bool {
        let now = state.clock.now();
        if now != self.instant {
            self.instant = now;
            self.counts.clear();
        }
        state.read(|store| self.hear(store));
        while let Some((_, task)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.set_timer(&task, None);
            self.enqueue(task);
        }
        for _ in 0..at_most {
            let Some(task) = self.queue.pop_front() else { return true };
            self.queued.remove(&task);
            self.reconcile(state, processes, task, now);
        }
        self.queue.is_empty()
    }

    /// Looks at one object, and does what its controller wants.
    fn reconcile(&mut self, state: &RegionState, processes: &dyn Processes, task: Task, now: At) {
        let Some(controller) = self.controllers.get(task.0) else { return };
        let name = controller.name();
        let count = self.counts.entry(task.clone()).or_default();
        *count += 1;
        if *count > RECONCILES_PER_INSTANT {
            return self.put_off(task, now.plus(PUT_OFF), format!("{name} does not settle"));
        }
        self.reconciles += 1;
        let (wake, refused) = state.write(|store| {
            let Reconciled { writes, wake } = controller.reconcile(store, &task.1, now, processes);
            (wake, store.apply_by(name, writes))
        });
        state.read(|store| self.hear(store));
        match refused.first() {
            Some(error) => {
                let before = self.refusals.entry(task.clone()).or_default();
                let wait = Duration::from_millis(FIRST_MILLISECONDS << (*before).min(20)).min(LONGEST);
                *before += 1;
                self.put_off(task, now.plus(wait), format!("{name}: {error}"));
            }
            None => {
                self.refusals.remove(&task);
                self.set_timer(&task, wake.map(|at| at.max(now.plus(SOONEST))));
            }
        }
    }

    /// Says what went wrong with a key, and looks at it again later.
    fn put_off(&mut self, task: Task, until: At, why: String) {
        tracing::warn!("{why} ({})", task.1);
        if self.unsettled.len() < COMPLAINTS {
            self.unsettled.push(format!("{why} ({})", task.1));
        }
        self.set_timer(&task, Some(until));
    }

    /// Queues whom the changes since the last look concern.
    fn hear(&mut self, store: &Store) {
        if self.heard == Some(store.version()) {
            return;
        }
        let known = self.heard.and_then(|heard| store.changes_after(heard).ok());
        let tasks: Vec<Task> = match known {
            Some(changes) => changes.flat_map(|change| self.concerned(store, change)).collect(),
            None => everything(store).iter().flat_map(|change| self.concerned(store, change)).collect(),
        };
        self.heard = Some(store.version());
        tasks.into_iter().for_each(|task| self.enqueue(task));
    }

    fn concerned(&self, store: &Store, change: &Change) -> Vec<Task> {
        let each = self.controllers.iter().enumerate();
        each.flat_map(|(index, controller)| {
            controller.concerns(store, change).into_iter().map(move |key| (index, key))
        })
        .collect()
    }

    fn enqueue(&mut self, task: Task) {
        if self.queued.insert(task.clone()) {
            self.queue.push_back(task);
        }
    }

    fn set_timer(&mut self, task: &Task, at: Option<At>) {
        if let Some(before) = self.timers.remove(task) {
            self.due.remove(&(before, task.clone()));
        }
        if let Some(at) = at {
            self.timers.insert(task.clone(), at);
            self.due.insert((at, task.clone()));
        }
    }
}

/// Every object as if it were new: for a start, and where the changes since the last look are forgotten.
fn everything(store: &Store) -> Vec<Change> {
    let added = |(key, object): (&Key, &Arc<Value>)| Change {
        version: store.version(),
        key: key.clone(),
        kind: ChangeKind::Added,
        object: object.clone(),
        before: None,
        at: store.clock().now(),
        by: None,
    };
    store.all().map(added).collect()
}

/// Runs a region's controllers until the task ends. `wakes` carries the keys of pods and nodes whose health changed.
pub async fn drive(
    state: Arc<RegionState>,
    processes: Arc<dyn Processes>,
    mut wakes: UnboundedReceiver<Key>,
    addresses: Addresses,
) {
    let mut driver = Driver::new(all(addresses));
    let mut changed = state.changed();
    let mut signals = true;
    loop {
        changed.get_and_update();
        while let Ok(key) = wakes.try_recv() {
            driver.signal(&state, &key);
        }
        if !driver.run(&state, processes.as_ref(), TURN) {
            tokio::task::yield_now().await;
            continue;
        }
        let due = driver.next().map(|at| state.clock.instant(at));
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            key = wakes.recv(), if signals => match key {
                Some(key) => driver.signal(&state, &key),
                None => signals = false,
            },
            // The state lives as long as this task, so its sender does too.
            _ = changed.changed() => {}
            () = timer => {}
        }
    }
}

/// Runs a driver until nothing is left to do at this instant.
pub fn settle(driver: &mut Driver, state: &RegionState, processes: &dyn Processes) {
    while !driver.run(state, processes, TURN) {}
}
