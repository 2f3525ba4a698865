//! What `transfer.fsckObjects` refuses: the errors of git-fsck(1) "FSCK MESSAGES", and its warnings too, since git
//! makes errors of them when a push is received. What git only informs of stays allowed.

mod gitattributes;
mod gitmodules;
mod headers;
mod names;
mod tree;

use proto::{ObjectFormat, ObjectId};
use std::collections::BTreeMap;

use crate::Kind;

/// An object breaks one of git's rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {fact}")]
pub struct FsckError {
    pub kind: Kind,
    /// The message id of git-fsck(1).
    pub rule: &'static str,
    /// What was found.
    pub fact: &'static str,
}

/// Checks objects one by one and remembers which blobs git itself will read one day.
#[derive(Debug)]
pub(crate) struct Fsck {
    format: ObjectFormat,
    special: BTreeMap<ObjectId, Special>,
    /// The first object that broke a rule.
    broken: Option<(ObjectId, FsckError)>,
}

/// Blobs that git reads for its own use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Special {
    gitmodules: bool,
    gitattributes: bool,
}

/// A broken rule, before it is known in what object.
type Broken = (&'static str, &'static str);

impl Fsck {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        Self { format, special: BTreeMap::new(), broken: None }
    }

    /// Checks one object on its own and remembers the first that breaks a rule. Blobs always pass; see
    /// [`Special::check`].
    pub(crate) fn note(&mut self, id: ObjectId, kind: Kind, bytes: &[u8]) {
        if let Err(error) = self.check(kind, bytes) {
            self.broken.get_or_insert((id, error));
        }
    }

    /// The first object that broke a rule.
    pub(crate) fn take_broken(&mut self) -> Option<(ObjectId, FsckError)> {
        self.broken.take()
    }

    fn check(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), FsckError> {
        let checked = match kind {
            Kind::Commit => headers::check_commit(bytes, self.format),
            Kind::Tag => headers::check_tag(bytes, self.format),
            Kind::Tree => tree::check(bytes, self.format, &mut |id, found: Special| {
                let known = self.special.entry(id).or_default();
                known.gitmodules |= found.gitmodules;
                known.gitattributes |= found.gitattributes;
            }),
            Kind::Blob => Ok(()),
        };
        checked.map_err(|(rule, fact)| FsckError { kind, rule, fact })
    }

    /// Takes over what another one remembers.
    pub(crate) fn merge(&mut self, other: Self) {
        if let Some(broken) = other.broken {
            self.broken.get_or_insert(broken);
        }
        for (id, special) in other.special {
            let known = self.special.entry(id).or_default();
            known.gitmodules |= special.gitmodules;
            known.gitattributes |= special.gitattributes;
        }
    }

    /// What the trees seen so far use as `.gitmodules` or `.gitattributes`.
    pub(crate) fn special_blobs(&self) -> impl Iterator<Item = (&ObjectId, Special)> {
        self.special.iter().map(|(id, special)| (id, *special))
    }
}

/// The largest file that git looks into for its own use, in bytes (git's `ATTR_MAX_FILE_SIZE`).
const MAX_SPECIAL: u64 = 100 << 20;

impl Special {
    /// Checks how large the blob is, before it is read.
    pub(crate) fn check_size(self, kind: Kind, size: u64) -> Result<(), FsckError> {
        if size <= MAX_SPECIAL {
            return Ok(());
        }
        let (rule, fact) = if self.gitmodules {
            ("gitmodulesLarge", "'.gitmodules' is larger than 100 MiB")
        } else {
            ("gitattributesLarge", "'.gitattributes' is larger than 100 MiB")
        };
        Err(FsckError { kind, rule, fact })
    }

    /// Checks what the blob says.
    pub(crate) fn check(self, kind: Kind, bytes: &[u8]) -> Result<(), FsckError> {
        let mut checked = Ok(());
        if self.gitmodules {
            checked = gitmodules::check(kind, bytes);
        }
        if self.gitattributes {
            checked = checked.and_then(|()| gitattributes::check(kind, bytes));
        }
        checked.map_err(|(rule, fact)| FsckError { kind, rule, fact })
    }
}
