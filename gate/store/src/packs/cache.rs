//! Objects that were read a moment ago, since the next one is likely a delta against them.

use hashbrown::HashMap;
use std::sync::Arc;

use crate::Kind;

/// An object's bytes, shared between the cache and who reads.
pub(super) type Cached = (Kind, Arc<Vec<u8>>);

/// Two generations: what was used since the last turn, and what was used in the turn before.
#[derive(Debug)]
pub(super) struct DeltaCache {
    young: HashMap<(u64, u64), Cached>,
    old: HashMap<(u64, u64), Cached>,
    young_bytes: usize,
    limit: usize,
}

/// What an entry costs beyond its bytes.
const OVERHEAD: usize = 128;

impl DeltaCache {
    /// A cache that holds at most about `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, limit }
    }

    /// Looks for the object at an offset of a pack.
    pub(super) fn get(&mut self, pack: u64, offset: u64) -> Option<Cached> {
        if let Some(hit) = self.young.get(&(pack, offset)) {
            return Some(hit.clone());
        }
        let (kind, bytes) = self.old.remove(&(pack, offset))?;
        self.put(pack, offset, kind, &bytes);
        Some((kind, bytes))
    }

    /// Keeps an object unless it is too big to be kept beside others.
    pub(super) fn put(&mut self, pack: u64, offset: u64, kind: Kind, bytes: &Arc<Vec<u8>>) {
        let cost = bytes.capacity() + OVERHEAD;
        if cost > self.limit / 4 {
            return;
        }
        if self.young_bytes + cost > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert((pack, offset), (kind, Arc::clone(bytes))).is_none() {
            self.young_bytes += cost;
        }
    }

    /// Whether an object of this size would be kept.
    pub(super) fn takes(&self, size: usize) -> bool {
        size + OVERHEAD <= self.limit / 4
    }
}
