//! Writes events, and keeps them for the folds that the engine needs while it runs.
//!
//! Evidence first (I6): an event is in the sink before anything else learns of it. A sink that fails once ends the run; from then on
//! only healing goes on, on the events in memory, and the sink is asked only to take what has its space reserved, so that whoever
//! heals later knows what was undone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::effect::EffectId;
use crate::model::event::{Event, Sink, SinkError, What};
use crate::model::name::{Name, ProbeId, Vantage};
use crate::model::sample::{Row, RowFile, WriteSeen};
use crate::model::time::{At, Duration};
use crate::world::Clock;

/// Where the evidence goes; the caller keeps its own handle.
pub type SharedSink = Arc<Mutex<dyn Sink + Send>>;

/// Something for a live display; what is shown of a probe or an event is on disk already (I6).
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// An event.
    Event(&'a Event),
    /// A probe turned at a vantage: it answers now, or fails.
    Turned { probe: &'a ProbeId, vantage: &'a Vantage, up: bool },
    /// The engine waits for something, at most so long: a display's line, no evidence.
    Waiting { what: &'a str, at_most: Duration },
    /// A ledger write ended. A display counts them; its count may be ahead of the disk by less than a second.
    Written { store: &'a Name, seen: WriteSeen },
}

/// A live display; what it does cannot harm the run.
pub type Watcher = Box<dyn FnMut(At, Shown<'_>) + Send>;

/// The engine's pen.
#[derive(Clone)]
pub(super) struct Recorder {
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    sink: SharedSink,
    watcher: Watcher,
    events: Vec<Event>,
    next_effect: u32,
    broken: Option<String>,
    /// Healing goes on without evidence, rather than not at all.
    healing: bool,
    /// Effects of healing whose intent the sink did not take: it takes no more of them.
    unwritten: BTreeSet<EffectId>,
    line: String,
}

impl Recorder {
    /// A pen that goes on after `events`.
    pub(super) fn new(clock: Arc<dyn Clock>, sink: SharedSink, watcher: Watcher, events: Vec<Event>) -> Self {
        let next_effect = events
            .iter()
            .filter_map(|event| match &event.what {
                What::EffectIntended { effect, .. } => Some(effect.id.0 + 1),
                _ => None,
            })
            .max()
            .unwrap_or(1);
        let inner = Inner {
            sink,
            watcher,
            events,
            next_effect,
            broken: None,
            healing: false,
            unwritten: BTreeSet::new(),
            line: String::new(),
        };
        Self { clock, inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event on disk.
    pub(super) fn append(&self, what: What) -> Result<(), SinkError> {
        let at = self.clock.now();
        let mut inner = self.inner();
        let written = match &inner.broken {
            Some(why) if !inner.is_still_taken(&what) => Err(SinkError { why: why.clone() }),
            Some(_) | None => lock(&inner.sink).append(at, what.clone()),
        };
        match written {
            Ok(event) => {
                (inner.watcher)(at, Shown::Event(&event));
                inner.events.push(event);
                Ok(())
            }
            Err(error) => {
                inner.broken.get_or_insert_with(|| error.why.clone());
                if !inner.healing {
                    return Err(error);
                }
                inner.unwritten.extend(what.effect());
                let seq = inner.events.len() as u64;
                inner.events.push(Event { seq, at, what });
                Ok(())
            }
        }
    }

    /// Adds a row to a file of rows.
    pub(super) fn row(&self, file: &RowFile, row: &impl Row) -> Result<(), SinkError> {
        let at = self.clock.now();
        let mut inner = self.inner();
        let mut line = std::mem::take(&mut inner.line);
        line.clear();
        row.write(&mut line);
        let written = if inner.broken.is_some() { Ok(()) } else { lock(&inner.sink).row(at, file, &line) };
        inner.line = line;
        self.or_broken(inner, written)
    }

    /// Shows that a probe turned, once its rows are on disk.
    pub(super) fn turned(&self, probe: &ProbeId, vantage: &Vantage, up: bool) -> Result<(), SinkError> {
        let inner = self.inner();
        let written = if inner.broken.is_some() { Ok(()) } else { lock(&inner.sink).flush() };
        self.or_broken(inner, written)?;
        self.show(Shown::Turned { probe, vantage, up });
        Ok(())
    }

    /// Shows something that is on disk, or that the evidence does not hold.
    pub(super) fn show(&self, shown: Shown<'_>) {
        let at = self.clock.now();
        (self.inner().watcher)(at, shown);
    }

    /// Binds all rows into the chain.
    pub(super) fn bind(&self) -> Result<(), SinkError> {
        let at = self.clock.now();
        let inner = self.inner();
        let written = if inner.broken.is_some() { Ok(()) } else { lock(&inner.sink).bind(at) };
        self.or_broken(inner, written)
    }

    fn or_broken(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        written: Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        written.or_else(|error| {
            inner.broken.get_or_insert_with(|| error.why.clone());
            if inner.healing { Ok(()) } else { Err(error) }
        })
    }

    /// From here on a sink that fails stops nothing: what is broken must be healed.
    pub(super) fn heal_whatever_happens(&self) {
        self.inner().healing = true;
    }

    /// Why the sink failed, if it did.
    pub(super) fn broken(&self) -> Option<SinkError> {
        self.inner().broken.clone().map(|why| SinkError { why })
    }

    /// A number for the next effect.
    pub(super) fn effect_id(&self) -> EffectId {
        let mut inner = self.inner();
        let id = inner.next_effect;
        inner.next_effect += 1;
        EffectId(id)
    }

    /// Looks at the events so far.
    pub(super) fn with_events<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.inner().events)
    }
}

impl Inner {
    /// Whether a sink that failed is asked to take this nevertheless.
    fn is_still_taken(&self, what: &What) -> bool {
        let is_known = what.effect().is_none_or(|effect| !self.unwritten.contains(&effect));
        let intends = matches!(what, What::EffectIntended { .. });
        self.healing && (what.has_reserved_space() && is_known || intends)
    }
}

fn lock(sink: &SharedSink) -> MutexGuard<'_, dyn Sink + Send + 'static> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}
