//! All refs of a snapshot in one sorted, compact table, and the files they lie in.

mod build;
mod diff;
pub(crate) mod head;
pub(crate) mod packed;
pub(crate) mod shallow;

use bstr::{BStr, BString, ByteSlice};
use proto::{ObjectFormat, ObjectId, RefName};

pub use build::{RefTableBuilder, RefTableError};
pub use diff::RefChange;
pub use packed::PackedRefsError;

/// Refs sorted by name, without `HEAD`. About 30 bytes a ref beside the name; shared, never changed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefTable {
    format: ObjectFormat,
    /// All names, one after the other.
    names: Box<[u8]>,
    /// Where each name ends.
    ends: Box<[u32]>,
    /// Raw ids, one a ref.
    targets: Box<[u8]>,
    /// Which refs are annotated tags, ascending.
    peeled_at: Box<[u32]>,
    /// Raw ids, one for each of `peeled_at`.
    peeled: Box<[u8]>,
    /// Which refs stand for another one, by name. Known while the gate runs: `packed-refs` has no place for it.
    symrefs: Symrefs,
}

/// Names and what they point to, sorted by name.
type Symrefs = Box<[(BString, RefName)]>;

/// One ref of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefEntry<'a> {
    /// A full name that passed [`proto::RefName::parse`].
    pub name: &'a BStr,
    pub target: ObjectId,
    /// What an annotated tag points to in the end.
    pub peeled: Option<ObjectId>,
}

impl RefTable {
    pub fn empty(format: ObjectFormat) -> Self {
        Self {
            format,
            names: [].into(),
            ends: [].into(),
            targets: [].into(),
            peeled_at: [].into(),
            peeled: [].into(),
            symrefs: [].into(),
        }
    }

    /// Takes refs in any order.
    ///
    /// # Errors
    /// A name twice, an id of another format, or more than 4 GiB of names.
    pub fn from_refs<'a>(
        format: ObjectFormat,
        refs: impl IntoIterator<Item = &'a proto::Ref>,
    ) -> Result<Self, RefTableError> {
        let mut builder = Self::builder(format);
        for one in refs {
            builder.push(&one.name, one.target, one.peeled)?;
        }
        builder.finish()
    }

    /// For refs that arrive one by one.
    pub fn builder(format: ObjectFormat) -> RefTableBuilder {
        RefTableBuilder::new(format)
    }

    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ref of that full name.
    pub fn get(&self, name: &[u8]) -> Option<RefEntry<'_>> {
        let at = self.lower_bound(name);
        (at < self.len() && self.name(at) == name).then(|| self.at(at))
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// All refs, by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RefEntry<'_>> + ExactSizeIterator {
        (0..self.len()).map(|at| self.at(at))
    }

    /// The refs whose names begin with `prefix`, by name.
    pub fn prefixed<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = RefEntry<'a>> {
        (self.lower_bound(prefix)..self.len())
            .map(|at| self.at(at))
            .take_while(move |entry| entry.name.starts_with(prefix))
    }

    /// What has to change to get from this table to `new`, by name.
    pub fn diff<'a>(&'a self, new: &'a Self) -> impl Iterator<Item = RefChange<'a>> {
        diff::Diff::new(self, new)
    }

    /// Whether the other table has the same names with the same targets, and the same symrefs, whatever it says of peeled
    /// values.
    pub fn has_same_targets(&self, other: &Self) -> bool {
        self.names == other.names
            && self.ends == other.ends
            && self.targets == other.targets
            && self.symrefs == other.symrefs
    }

    /// The ref that the one of this name stands for, if the origin tells it of one that is not `HEAD`.
    pub fn symref(&self, name: &[u8]) -> Option<&RefName> {
        let at = self.symrefs.binary_search_by(|(symref, _)| symref.as_bytes().cmp(name)).ok()?;
        Some(&self.symrefs[at].1)
    }

    /// Whether these are the symrefs of the table, in order.
    pub fn has_symrefs(&self, symrefs: &[(BString, RefName)]) -> bool {
        *self.symrefs == *symrefs
    }

    /// The `at`th ref by name. Panics past [`len`](Self::len).
    pub fn at(&self, at: usize) -> RefEntry<'_> {
        let peeled = match self.peeled_at.binary_search(&(at as u32)) {
            Ok(tag) => Some(self.raw(&self.peeled, tag)),
            Err(_) => None,
        };
        RefEntry { name: self.name(at), target: self.raw(&self.targets, at), peeled }
    }

    fn name(&self, at: usize) -> &BStr {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.names[start as usize..self.ends[at] as usize].as_bstr()
    }

    fn raw(&self, ids: &[u8], at: usize) -> ObjectId {
        let len = self.format.raw_len();
        ObjectId::from_raw(&ids[at * len..][..len]).expect("the stride is the format's own length")
    }

    /// The first ref whose name is not below `name`.
    fn lower_bound(&self, name: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low.midpoint(high);
            if self.name(mid).as_bytes() < name { low = mid + 1 } else { high = mid }
        }
        low
    }
}

impl std::fmt::Debug for RefTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|entry| (entry.name, entry.target))).finish()
    }
}
