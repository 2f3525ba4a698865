//! What is scanned: the new things of one push, and where the origin's own content is looked up.

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;

use bstr::BStr;
use gate_store::Interrupt;
use proto::{ObjectId, RefName};

/// One new thing.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A blob at one of its paths (empty when a ref or a tag names it directly), and the commit that brought it.
    Blob { id: ObjectId, path: &'a BStr, commit: Option<ObjectId> },
    /// A path that a new tree names, whatever stands there: file, link or submodule.
    Path { path: &'a BStr, commit: Option<ObjectId> },
    /// A commit: its raw text is scanned, headers and all.
    Commit { id: ObjectId },
    /// An annotated tag: its raw text is scanned.
    Tag { id: ObjectId },
    /// A ref that the push creates.
    Ref { name: &'a RefName, target: ObjectId },
    /// A push option: it goes to the origin's hooks as it is. `target` is what the push names first.
    Option { text: &'a BStr, target: Option<ObjectId> },
}

/// Where to look among what the origin has.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// At this path of the trees that the push builds upon.
    Path(&'a BStr),
    /// At these paths, at the tips of other refs and earlier in history.
    Earlier(&'a [&'a BStr]),
    /// Anywhere in the trees that the push builds upon, the likeliest first (what the push changes or removes).
    Anywhere,
}

/// The new things of one push: exactly what is reachable from the pushed tips and not from the origin's refs.
///
/// All of it blocks, and is called on the blocking pool alone. What the origin has is nothing, unless told otherwise.
pub trait NewObjects: Send + Sync + 'static {
    /// How many bytes there are to scan, about; for progress only.
    fn bytes(&self) -> u64;

    /// Shows every new thing once, a blob once for each of its paths; ends at the first `Stop`.
    fn each(
        &self,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop>;

    /// The size of an object in bytes.
    fn size(&self, id: &ObjectId) -> Result<u64, Stop>;

    /// Writes an object's content, without holding the whole of a large blob.
    fn write(&self, id: &ObjectId, out: &mut dyn Write) -> Result<(), Stop>;

    /// Whether this names an object that the origin has or that is new: then it is no secret, however random it looks.
    fn is_object(&self, _id: &ObjectId) -> bool {
        false
    }

    /// Whether the trees that the push builds upon, and the origin has, hold something at this path.
    fn origin_has_path(&self, _path: &BStr) -> Result<bool, Stop> {
        Ok(false)
    }

    /// Shows blobs that the origin has; see [`At`]. Never a blob that is new in this push.
    fn origin_blobs(
        &self,
        _at: At<'_>,
        _interrupt: &Interrupt,
        _visit: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    /// Shows the raw commits that the push builds upon or replaces, and the origin has.
    fn origin_commits(
        &self,
        _interrupt: &Interrupt,
        _visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        Ok(())
    }
}

/// Why a walk over the new objects ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("read object {id}")]
    Object { id: ObjectId, source: Box<dyn Error + Send + Sync> },
    #[error("walk the new objects")]
    Walk { source: Box<dyn Error + Send + Sync> },
    /// There is too much of something; the words are for whoever pushes.
    #[error("{what}")]
    Limit { what: String },
    #[error("make room for a large object")]
    Spool(#[source] io::Error),
    #[error("feed the scanner")]
    Feed(#[source] io::Error),
    #[error("called off")]
    Interrupted,
}
