//! Whether an object may be had by its id: only what some ref reaches.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proto::ObjectId;

use crate::count::{Question, count};
use crate::object_set::ObjectSet;
use crate::walk::Commits;
use crate::{Interrupt, Snapshot, WalkError};

/// What a snapshot has found out about what its refs reach.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    targets: OnceLock<HashSet<ObjectId>>,
    /// Everything the refs reach; made when it is first needed, and never for an exact snapshot.
    closure: Mutex<Option<Arc<ObjectSet>>>,
}

impl Snapshot {
    /// Whether some ref reaches the object. Cheap, but for the first question to a snapshot that is not
    /// [exact](Self::is_exact): then all that the refs reach is looked up once.
    ///
    /// # Errors
    /// A damaged store, or the interrupt.
    pub fn reachable(&self, id: &ObjectId, interrupt: &Interrupt) -> Result<bool, WalkError> {
        let Some(at) = self.packs().locate(id) else { return Ok(false) };
        if self.is_exact() || self.targets().contains(id) {
            return Ok(true);
        }
        Ok(self.closure(interrupt)?.contains(at))
    }

    /// The ids that refs name.
    pub(crate) fn targets(&self) -> &HashSet<ObjectId> {
        self.reach.targets.get_or_init(|| self.refs().iter().map(|entry| entry.target).collect())
    }

    /// All objects that some ref reaches. Who comes while it is made waits for it.
    pub(crate) fn closure(&self, interrupt: &Interrupt) -> Result<Arc<ObjectSet>, WalkError> {
        let mut closure = self.reach.closure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(closure) = &*closure {
            return Ok(Arc::clone(closure));
        }
        let mut wants: Vec<_> = self.targets().iter().copied().chain(self.head_target()).collect();
        // A ref whose object is missing must not hide what the others reach.
        wants.retain(|id| self.packs().contains(id));
        let question = Question { wants: &wants, ..Question::default() };
        let counted = count(&mut self.commits(), &question, interrupt, &mut |_| {})?;
        Ok(Arc::clone(closure.insert(Arc::new(counted.send))))
    }

    /// Commits as this snapshot's origin has them.
    pub(crate) fn commits(&self) -> Commits {
        Commits::new(self.packs(), self.shared.graph.arena(), self.shallow())
    }
}
