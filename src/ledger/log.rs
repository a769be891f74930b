//! The entries of a node, in chunks that its copies share: a copy costs a pointer per chunk, and only chunks that change afterwards are
//! cloned. Rejected: one vector, whose copies every few minutes cost more than all writes once a drill lasts for hours.

use std::sync::Arc;

use super::Logged;

/// How many entries a chunk holds.
const CHUNK: usize = 1024;

/// Entries at positions 1, 2, …; all chunks but the last are full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Log {
    chunks: Vec<Arc<Vec<Logged>>>,
    length: usize,
}

impl Log {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The entry at an index from 0.
    pub(super) fn get(&self, index: usize) -> Option<&Logged> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    pub(super) fn push(&mut self, logged: Logged) {
        if self.length.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(logged);
            self.length += 1;
        }
    }

    /// Keeps so many entries; returns the others.
    pub(super) fn split_off(&mut self, kept: usize) -> Vec<Logged> {
        let rest = self.from(kept).cloned().collect();
        self.chunks.truncate(kept.div_ceil(CHUNK));
        if let Some(last) = self.chunks.last_mut().filter(|_| !kept.is_multiple_of(CHUNK)) {
            Arc::make_mut(last).truncate(kept % CHUNK);
        }
        self.length = self.length.min(kept);
        rest
    }

    /// The entries from an index on.
    pub(super) fn from(&self, index: usize) -> impl DoubleEndedIterator<Item = &Logged> + Clone {
        let index = index.min(self.length);
        let (chunk, within) = (index / CHUNK, index % CHUNK);
        let first = self.chunks.get(chunk).map_or(&[][..], |chunk| &chunk[within..]);
        let others = self.chunks.get(chunk + 1..).unwrap_or_default();
        first.iter().chain(others.iter().flat_map(|chunk| chunk.iter()))
    }

    /// Changes what is to be changed; chunks without any stay shared.
    pub(super) fn change(
        &mut self,
        meant: impl Fn(&Logged) -> bool,
        mut change: impl FnMut(usize, &mut Logged),
    ) {
        for (number, chunk) in self.chunks.iter_mut().enumerate() {
            if chunk.iter().any(&meant) {
                let each = Arc::make_mut(chunk).iter_mut().enumerate();
                each.filter(|(_, logged)| meant(logged))
                    .for_each(|(index, logged)| change(number * CHUNK + index, logged));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Entry;

    fn logged(epoch: u64) -> Logged {
        Logged { epoch, entry: Entry::Began }
    }

    proptest! {
        #[test]
        fn a_log_and_its_copies_are_as_vectors_are(
            steps in prop::collection::vec((0_u8..4, 0_usize..3000), 1..12)
        ) {
            let (mut log, mut model) = (Log::default(), Vec::new());
            let mut copies = Vec::new();
            for (step, number) in steps {
                match step {
                    0 | 1 => for epoch in 0..number as u64 {
                        log.push(logged(epoch));
                        model.push(logged(epoch));
                    },
                    2 => {
                        let kept = number.min(model.len());
                        prop_assert_eq!(log.split_off(kept), model.split_off(kept));
                    }
                    _ => {
                        log.change(|one| one.epoch == number as u64 % 50, |index, one| one.epoch = index as u64);
                        model.iter_mut().enumerate().filter(|(_, one)| one.epoch == number as u64 % 50)
                            .for_each(|(index, one)| one.epoch = index as u64);
                    }
                }
                copies.push((log.clone(), model.clone()));
            }
            for (log, model) in &copies {
                prop_assert_eq!(log.len(), model.len());
                let from = model.len() / 3;
                prop_assert!(log.from(from).eq(&model[from..]));
                prop_assert!(log.from(from).rev().eq(model[from..].iter().rev()));
                prop_assert_eq!(log.get(from), model.get(from));
                prop_assert_eq!(log.get(model.len()), None);
            }
        }
    }
}
