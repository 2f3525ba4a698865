//! Changes of a mirror: new packs first, then refs, each step durable before the next, one change at a time.
//!
//! The order is pack, index, `shallow`, `packed-refs`, `HEAD`, and last the list of exact packs. Killed anywhere, it
//! leaves the old refs or the new ones, and packs that hold whatever either reaches.

use proto::{Head, ObjectId, RefName};
use std::sync::{Arc, PoisonError};

use super::adopt::Arrival;
use super::forward::{self, is_forward};
use super::{HEAD, PACKED_REFS, SHALLOW, Store, adopt, exact};
use crate::files::{self, FileError};
use crate::reach::Reach;
use crate::refs::{head, packed, shallow};
use crate::{
    ConnectError, Connected, FsckError, Interrupt, OpenPackError, Pack, ReadError, RefTable,
    RefTableError, Snapshot, WalkError, WriteError,
};

/// Why a change was not made. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("the origin lists no refs and is not known to be empty: nothing is pruned")]
    PruneAll,
    #[error("{name} would point to {id}, which the mirror does not hold")]
    Unconnected { name: RefName, id: ObjectId },
    #[error("the mirror dropped what the new objects build upon: connect them anew")]
    Moved,
    #[error("{} {id} breaks a rule: {error}", .error.kind)]
    Broken { id: ObjectId, error: FsckError },
    #[error("refs of the origin")]
    Refs(#[from] RefTableError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("write the pack of new objects")]
    Write(#[from] WriteError),
    #[error(transparent)]
    Pack(#[from] OpenPackError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// A change of one ref that the origin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefEdit {
    pub name: RefName,
    /// What the ref was before; `None` if it is created.
    pub old: Option<ObjectId>,
    /// What it is now; `None` if it is deleted.
    pub new: Option<ObjectId>,
}

impl Store {
    /// Makes the mirror say what the origin says: all of `refs`, `head` and `shallow`, and nothing else.
    ///
    /// `connected` holds what the refs need beyond what the store has; peeled values in `refs` are not believed but
    /// read from the objects. Where nothing differs, nothing is written and the current snapshot is returned.
    ///
    /// # Errors
    /// An empty list that would prune everything, unless `proven_empty` (the origin's advertisement said so); a ref to
    /// an object that neither the store nor `connected` has; the rest of [`CommitError`].
    pub fn commit_mirror(
        &self,
        connected: Option<&Connected>,
        refs: RefTable,
        head: Option<Head>,
        shallow: &[ObjectId],
        proven_empty: bool,
    ) -> Result<Arc<Snapshot>, CommitError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.snapshot();
        if refs.is_empty() && !current.refs().is_empty() && !proven_empty {
            return Err(CommitError::PruneAll);
        }
        // A boundary that nothing leads to any more says nothing.
        let packs = connected.map_or(current.packs(), Connected::packs);
        let mut shallow: Vec<_> = shallow.iter().copied().filter(|id| packs.contains(id)).collect();
        shallow.sort_unstable();
        shallow.dedup();
        let same = current.refs.has_same_targets(&refs);
        if same && current.head == head && *current.shallow == *shallow && connected.is_none() {
            return Ok(current);
        }
        let arrival = connected.map(Arrival::all);
        self.change(&current, arrival, |_| Ok(refs), head, shallow)
    }

    /// Takes what the origin accepted: these edits, and of the connected objects those that they need. A ref that the store has at another value than `old` meanwhile (a refresh, or
    /// another push, came in between) is left as it is: the next refresh brings the truth.
    pub fn commit_push(
        &self,
        connected: &Connected,
        edits: &[RefEdit],
    ) -> Result<Arc<Snapshot>, CommitError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.snapshot();
        let edits = applicable(&current.refs, edits);
        let tips: Vec<_> = edits.iter().filter_map(|edit| edit.new).collect();
        let arrival = Arrival::only(connected, &tips)?;
        let edited = |refs: &RefTable| edit(refs, edits);
        let (head, shallow) = (current.head.clone(), current.shallow.to_vec());
        self.change(&current, Some(arrival), edited, head, shallow)
    }

    /// The change itself; the caller holds `changing`.
    fn change(
        &self,
        current: &Arc<Snapshot>,
        arrival: Option<Arrival<'_>>,
        refs: impl FnOnce(&RefTable) -> Result<RefTable, RefTableError>,
        head: Option<Head>,
        shallow: Vec<ObjectId>,
    ) -> Result<Arc<Snapshot>, CommitError> {
        let pack = match &arrival {
            Some(arrival) => {
                still_builds_upon(current, arrival.connected)?;
                adopt::adopt(self, current, arrival)?
            }
            None => None,
        };
        let packs = pack.iter().fold(current.packs.clone(), |packs, pack| packs.with(pack.clone()));
        let mut next = Snapshot {
            refs: Arc::clone(&current.refs),
            head,
            packs,
            shallow: shallow.into(),
            exact: false,
            generation: current.generation + 1,
            shared: Arc::clone(&current.shared),
            reach: Reach::default(),
        };
        let table = refs(&current.refs)?;
        next.refs = Arc::new(forward::peeled(&next, &current.refs, &table)?);
        next.exact = current.exact && is_forward(current, &next, arrival.as_ref())?;
        self.write(current, &next, pack.as_ref())?;
        let next = Arc::new(next);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }

    /// Makes the files say what `next` says.
    fn write(
        &self,
        current: &Snapshot,
        next: &Snapshot,
        pack: Option<&Arc<Pack>>,
    ) -> Result<(), FileError> {
        if current.exact && !next.exact {
            exact::forget(&self.dir)?;
        }
        if current.shallow != next.shallow {
            let path = self.dir.join(SHALLOW);
            if next.shallow.is_empty() {
                files::remove(&path)?;
            } else {
                let bytes = shallow::render(&next.shallow);
                files::replace(&path, |out| std::io::Write::write_all(out, &bytes))?;
            }
        }
        if current.refs != next.refs {
            files::replace(&self.dir.join(PACKED_REFS), |out| packed::write(&next.refs, out))?;
        }
        // A mirror whose origin tells no HEAD keeps the file, without which git sees no repository.
        if let Some(head) = next.head.as_ref().filter(|_| current.head != next.head) {
            let bytes = head::render(head);
            files::replace(&self.dir.join(HEAD), |out| std::io::Write::write_all(out, &bytes))?;
        }
        if next.exact && pack.is_some() {
            exact::record(&self.dir, next.packs.packs())?;
        }
        Ok(())
    }
}

/// The store is closed: while it holds what the new objects refer to, it holds all that reaches further.
fn still_builds_upon(current: &Snapshot, connected: &Connected) -> Result<(), CommitError> {
    let is_same = connected.snapshot().generation() == current.generation();
    if is_same || connected.edges().all(|id| current.packs.contains(&id)) {
        Ok(())
    } else {
        Err(CommitError::Moved)
    }
}

/// The edits whose old value is the current one.
fn applicable<'a>(refs: &RefTable, edits: &'a [RefEdit]) -> Vec<&'a RefEdit> {
    let applies = |edit: &&RefEdit| {
        let current = refs.get(edit.name.as_bytes()).map(|entry| entry.target);
        if current != edit.old && current != edit.new {
            tracing::info!(git.r#ref = %edit.name, "moved meanwhile, left to the next refresh");
        }
        current == edit.old
    };
    edits.iter().filter(applies).collect()
}

/// The table with the edits made.
fn edit(refs: &RefTable, mut edits: Vec<&RefEdit>) -> Result<RefTable, RefTableError> {
    edits.sort_by(|a, b| a.name.cmp(&b.name));
    let mut builder = RefTable::builder(refs.format()).with_symrefs_of(refs);
    let mut edits = edits.into_iter().peekable();
    for entry in refs.iter() {
        while let Some(edit) = edits.next_if(|edit| edit.name.as_bstr() < entry.name) {
            if let Some(new) = edit.new {
                builder.push(&edit.name, new, None)?;
            }
        }
        match edits.next_if(|edit| edit.name.as_bytes() == entry.name) {
            None => builder.push_bytes(entry.name, entry.target, entry.peeled)?,
            Some(edit) => {
                if let Some(new) = edit.new {
                    builder.push(&edit.name, new, None)?;
                }
            }
        }
    }
    for edit in edits {
        if let Some(new) = edit.new {
            builder.push(&edit.name, new, None)?;
        }
    }
    builder.finish()
}

impl CommitError {
    pub(super) fn unconnected(name: &[u8], id: ObjectId) -> Self {
        match RefName::parse(name) {
            Ok(name) => Self::Unconnected { name, id },
            Err(_) => Self::Read(ReadError::Missing { id }),
        }
    }

    pub(super) fn interrupt() -> Interrupt {
        // A change is short, and is not called off half way.
        Interrupt::default()
    }
}
