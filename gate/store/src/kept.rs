//! Packs that were generated once and answer the same question again, or all but the tail of the next one.
//!
//! Each lies in `kept/` of its repository as a pack with an index and a *certificate* that says whose closure it is. A
//! kept pack is only a cache: whatever is missing or damaged is generated again.

mod certificate;
mod flight;
mod generate;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use proto::{ObjectFormat, ObjectId};

use crate::files::{self, FileError};
use crate::{Pack, Store, Written};

pub(crate) use certificate::Certificate;
pub(crate) use flight::{Follower, Outcome};
pub(crate) use generate::{Job, start};

use flight::Flight;

/// Disk that the kept packs of one repository may take unless told otherwise, in bytes.
pub const KEPT_BYTES: u64 = 2 << 30;

/// Answers of a base and a short tail that are remembered for one repository.
const MAX_RECIPES: usize = 8;

/// Packs that are kept at most, and how many of these are tried as part of another answer.
const MAX_KEPT: usize = 64;
const MAX_TRIED: usize = 8;

/// Questions that are remembered to see whether one comes again.
const MAX_ASKED: usize = 256;

/// The longest tail that is remembered, in bytes.
pub(crate) const MAX_RECIPE_TAIL: usize = 1 << 20;

/// What a question is known by: a hash of everything the answer depends on.
pub(crate) type Key = [u8; 32];

/// The kept packs of one repository.
#[derive(Debug)]
pub(crate) struct Kept {
    dir: PathBuf,
    format: ObjectFormat,
    limit: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    flights: HashMap<Key, Arc<Flight>>,
    recipes: Vec<(Key, Arc<Recipe>)>,
    /// What was asked lately and not kept.
    asked: VecDeque<Key>,
    clock: u64,
}

impl State {
    /// Lets nobody board this flight any more.
    fn forget(&mut self, key: &Key, flight: &Arc<Flight>) {
        if self.flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            self.flights.remove(key);
        }
    }
}

#[derive(Debug)]
struct Entry {
    pack: Arc<Pack>,
    certificate: Arc<Certificate>,
    used: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.pack.bytes().len() as u64
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSize {
    pub packs: usize,
    pub bytes: u64,
}

/// An answer that is a pack as it lies, between another header and a tail with its trailer.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) base: Arc<Pack>,
    pub(crate) tail: Vec<u8>,
    pub(crate) written: Written,
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) enum Known {
    Pack(Arc<Pack>),
    Recipe(Arc<Recipe>),
    Flight(Follower),
}

impl Kept {
    /// Takes up what lies in `kept/` of a repository and removes what has no certificate.
    pub(crate) fn open(repo: &Path, format: ObjectFormat) -> Result<Self, FileError> {
        let dir = repo.join("kept");
        let mut state = State::default();
        for (key, certificate, pack) in certificate::sweep(&dir, format)? {
            let (certificate, pack) = (Arc::new(certificate), Arc::new(pack));
            state.entries.insert(key, Entry { pack, certificate, used: 0 });
        }
        Ok(Self { dir, format, limit: AtomicU64::new(KEPT_BYTES), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
        self.evict(&mut self.lock());
    }

    /// Looks a question up, and joins those who wait for its answer.
    pub(crate) fn known(self: &Arc<Self>, key: &Key) -> Option<Known> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        if let Some(entry) = state.entries.get_mut(key) {
            entry.used = now;
            return Some(Known::Pack(Arc::clone(&entry.pack)));
        }
        if let Some(flight) = state.flights.get(key) {
            return Some(Known::Flight(Follower::join(self, *key, flight)));
        }
        let at = state.recipes.iter().position(|(known, _)| known == key)?;
        let recipe = state.recipes.remove(at);
        let found = Known::Recipe(Arc::clone(&recipe.1));
        state.recipes.push(recipe);
        Some(found)
    }

    /// The first to ask opens a flight; who comes meanwhile joins it. `true` for who has to start the work.
    fn board(self: &Arc<Self>, key: &Key) -> (Follower, bool) {
        let mut state = self.lock();
        let mut first = false;
        let flight = state.flights.entry(*key).or_insert_with(|| {
            first = true;
            Arc::default()
        });
        (Follower::join(self, *key, &Arc::clone(flight)), first)
    }

    /// Those kept packs that may be part of another answer and were of use last, the largest first.
    pub(crate) fn closures(&self) -> Vec<(Key, Arc<Pack>, Arc<Certificate>)> {
        let state = self.lock();
        let mut all: Vec<_> =
            state.entries.iter().filter(|(_, entry)| entry.certificate.is_closure).collect();
        all.sort_by_key(|(_, entry)| Reverse(entry.used));
        all.truncate(MAX_TRIED);
        all.sort_by_key(|(_, entry)| Reverse(entry.pack.len()));
        let parts = |(key, entry): (&Key, &Entry)| {
            (*key, Arc::clone(&entry.pack), Arc::clone(&entry.certificate))
        };
        all.into_iter().map(parts).collect()
    }

    /// Whether the question was asked lately; if not, it was now.
    pub(crate) fn was_asked(&self, key: &Key) -> bool {
        let mut state = self.lock();
        if state.asked.contains(key) {
            return true;
        }
        if state.asked.len() == MAX_ASKED {
            state.asked.pop_front();
        }
        state.asked.push_back(*key);
        false
    }

    /// Notes that a pack was of use.
    pub(crate) fn touch(&self, key: &Key) {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        if let Some(entry) = state.entries.get_mut(key) {
            entry.used = now;
        }
    }

    pub(crate) fn remember(&self, key: Key, recipe: Recipe) {
        let mut state = self.lock();
        if state.recipes.len() == MAX_RECIPES {
            state.recipes.remove(0);
        }
        state.recipes.push((key, Arc::new(recipe)));
    }

    /// Ends a flight; the pack, if one was made, answers from now on.
    fn land(&self, key: &Key, flight: &Arc<Flight>, made: Option<(Pack, Certificate)>) {
        let mut state = self.lock();
        state.forget(key, flight);
        if let Some((pack, certificate)) = made {
            state.clock += 1;
            let (pack, certificate, used) = (Arc::new(pack), Arc::new(certificate), state.clock);
            state.entries.insert(*key, Entry { pack, certificate, used });
            self.evict(&mut state);
        }
    }

    /// Removes the packs that were of no use for the longest time, until the rest fits the limit.
    fn evict(&self, state: &mut State) {
        let mut total: u64 = state.entries.values().map(Entry::bytes).sum();
        while total > self.limit() || state.entries.len() > MAX_KEPT {
            let oldest =
                state.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some((key, entry)) = oldest.and_then(|key| state.entries.remove_entry(&key)) else {
                return;
            };
            total -= entry.bytes();
            // Whoever streams it has it mapped. What cannot be removed now is swept at the next start.
            for path in certificate::files(&self.dir, &key) {
                drop(files::remove(&path));
            }
        }
    }
}

impl Store {
    /// Sets how much disk kept packs may take, [`KEPT_BYTES`] unless told otherwise; what is too much goes at once.
    pub fn set_kept_limit(&self, bytes: u64) {
        self.snapshot().shared.kept.set_limit(bytes);
    }

    /// What is kept now.
    pub fn kept(&self) -> KeptSize {
        let snapshot = self.snapshot();
        let state = snapshot.shared.kept.lock();
        let bytes = state.entries.values().map(Entry::bytes).sum();
        KeptSize { packs: state.entries.len(), bytes }
    }
}

/// A certificate's wants as the key of a question: see [`Key`].
pub(crate) fn key_of(parts: &[&[u8]], ids: &[&[ObjectId]]) -> Key {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    for list in ids {
        hash.update((list.len() as u64).to_be_bytes());
        list.iter().for_each(|id| hash.update(id.as_bytes()));
    }
    hash.finalize().into()
}
