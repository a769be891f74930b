//! One value that others wait on: its latest state counts, not each change.
//!
//! As `tokio::sync::watch`, whose names it has, but woken in the order in which they began to wait. tokio's wakes its waiters in an order of
//! random numbers that no seed decides, so that two tasks of a rehearsal which meet in one change would act now in this order, now in that,
//! and one seed would no longer give the same bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A channel with its first value, which counts as seen.
pub fn channel<T: Clone>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// All senders are gone: there will be no other value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left who could tell")]
pub struct Closed;

struct Shared<T> {
    state: Mutex<State<T>>,
    told: Notify,
}

struct State<T> {
    value: T,
    version: u64,
    senders: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sets the value.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T: Clone> Sender<T> {
    /// A sender that nobody listens to yet.
    pub fn new(value: T) -> Self {
        let state = Mutex::new(State { value, version: 0, senders: 1 });
        Sender(Arc::new(Shared { state, told: Notify::new() }))
    }

    /// Somebody who waits for the next value.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.lock().version;
        Receiver { shared: Arc::clone(&self.0), seen }
    }

    /// The value now.
    pub fn get(&self) -> T {
        self.0.lock().value.clone()
    }

    /// Sets the value, and wakes everybody.
    pub fn send(&self, value: T) {
        self.send_if_modified(|now| {
            *now = value;
            true
        });
    }

    /// Changes the value, and wakes everybody where that says so.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let modified = {
            let mut state = self.0.lock();
            let modified = change(&mut state.value);
            state.version += u64::from(modified);
            modified
        };
        if modified {
            self.0.told.notify_waiters();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.told.notify_waiters();
    }
}

/// Who waits for values.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T: Clone> Receiver<T> {
    /// The value now.
    pub fn get(&self) -> T {
        self.shared.lock().value.clone()
    }

    /// The value now, which counts as seen.
    pub fn get_and_update(&mut self) -> T {
        let state = self.shared.lock();
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits for a value that was not seen.
    ///
    /// # Errors
    /// Where no other can come.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let Receiver { shared, seen } = self;
        loop {
            // Made before the look, so that what comes after the look wakes it.
            let told = shared.told.notified();
            {
                let state = shared.lock();
                if state.version != *seen {
                    *seen = state.version;
                    return Ok(());
                }
                if state.senders == 0 {
                    return Err(Closed);
                }
            }
            told.await;
        }
    }

    /// Waits until the value is so; the one that is there counts too.
    ///
    /// # Errors
    /// Where it never will be.
    pub async fn wait_for(&mut self, so: impl Fn(&T) -> bool) -> Result<T, Closed> {
        loop {
            let value = self.get_and_update();
            if so(&value) {
                return Ok(value);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let (sender, receiver) = channel(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        // Fewer than tokio polls before it lets go of a task that yields.
        for number in 0..40 {
            let (mut receiver, woken) = (receiver.clone(), Arc::clone(&woken));
            tasks.spawn(async move {
                receiver.changed().await.unwrap();
                woken.lock().unwrap().push(number);
            });
        }
        yield_now().await;
        sender.send(1);
        while tasks.join_next().await.is_some() {}
        assert_eq!(*woken.lock().unwrap(), (0..40).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_was_set_before_the_wait_ends_it_at_once_and_only_once() {
        let (sender, mut receiver) = channel("a");
        sender.send("b");
        sender.send("c");
        assert_eq!((receiver.changed().await, receiver.get()), (Ok(()), "c"));
        sender.send_if_modified(|_| false);
        drop(sender.clone());
        let waits = tokio::time::timeout(std::time::Duration::from_secs(1), receiver.changed()).await;
        assert!(waits.is_err());
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(receiver.wait_for(|now| *now == "c").await, Ok("c"));
        assert_eq!(receiver.wait_for(|now| *now == "d").await, Err(Closed));
    }
}
