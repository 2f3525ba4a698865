//! Why a pack, or an object in one, cannot be read.

use proto::ObjectId;
use std::path::PathBuf;

/// A pack or its index cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("open {}", .path.display())]
pub struct OpenPackError {
    pub path: PathBuf,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("object {id} is missing")]
    Missing { id: ObjectId },
    #[error("object {id} is a {actual}, not a {expected}")]
    Kind { id: ObjectId, expected: crate::Kind, actual: crate::Kind },
    #[error("{} is corrupt at offset {offset}: {what}", .pack.display())]
    Corrupt { pack: PathBuf, offset: u64, what: &'static str },
    #[error("hand on an object's bytes")]
    Write(#[source] std::io::Error),
}
