//! What is scanned: the new things of one push, and where the origin's own content is looked up.

use std::error::Error;
use std::io;
use std::ops::ControlFlow;

use bstr::BStr;
use proto::{ObjectId, RefName};

/// One new thing, as it lies in the object database.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A blob at one of its paths (empty when a ref or a tag names it directly), and the commit that brought it.
    Blob { id: ObjectId, path: &'a BStr, commit: Option<ObjectId>, data: &'a [u8] },
    /// A path that a new tree names, whatever stands there: file, directory, link or submodule.
    Path { path: &'a BStr, commit: Option<ObjectId> },
    /// A commit's raw text, headers and all.
    Commit { id: ObjectId, data: &'a [u8] },
    /// An annotated tag's raw text.
    Tag { id: ObjectId, data: &'a [u8] },
    /// A ref that the push creates.
    Ref { name: &'a RefName, target: ObjectId },
}

/// The new things of one push: exactly what is reachable from the pushed tips and not from the origin's refs.
///
/// All of it blocks, and is called on the blocking pool alone.
pub trait NewObjects: Send + Sync + 'static {
    /// How many bytes [`each`](Self::each) will show, about; for progress only.
    fn bytes(&self) -> u64;

    /// Shows every new thing once, a blob once for each of its paths; ends at the first `Stop`.
    fn each(&self, visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>) -> Result<(), Stop>;

    /// Reads a new blob, commit or tag anew, to show the line a finding stands on.
    fn read(&self, id: &ObjectId, into: &mut Vec<u8>) -> Result<(), Stop>;

    /// Whether the trees that the push builds upon, and the origin has, hold something at this path.
    fn origin_has_path(&self, path: &BStr) -> Result<bool, Stop>;

    /// Shows the blobs of the trees that the push builds upon and the origin has: those at `path`, or without one all of
    /// them, the likeliest first (what the push changes or removes). Never a blob that is new in this push.
    fn origin_blobs(
        &self,
        path: Option<&BStr>,
        visit: &mut dyn FnMut(&BStr, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop>;

    /// Shows the raw commits that the push builds upon or replaces, and the origin has.
    fn origin_commits(&self, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Stop>;
}

/// Why a walk over the new objects ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("read object {id}")]
    Object { id: ObjectId, source: Box<dyn Error + Send + Sync> },
    #[error("walk the new objects")]
    Walk { source: Box<dyn Error + Send + Sync> },
    #[error("feed the scanner")]
    Feed(#[source] io::Error),
    #[error("called off")]
    Interrupted,
}
