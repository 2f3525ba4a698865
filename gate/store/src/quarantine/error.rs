//! Why a pack is refused.

use proto::ObjectId;
use std::io;

use crate::fsck::FsckError;
use crate::{Collision, FileError, Interrupted, ReadError};

/// A pack cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("read the pack")]
    Read(#[source] io::Error),
    #[error("the pack ends too early, after {bytes} bytes")]
    Truncated { bytes: u64 },
    #[error("the pack does not begin as packs do")]
    Signature,
    #[error("pack version {version} is unknown")]
    Version { version: u32 },
    #[error("the pack is malformed at offset {offset}: {what}")]
    Malformed { offset: u64, what: &'static str },
    #[error("the pack's checksum does not match its content")]
    Trailer,
    #[error("{count} deltas have no base, the first one's would be {base}")]
    Unresolved { count: usize, base: ObjectId },
    #[error("object {id} is in the pack twice")]
    Twice { id: ObjectId },
    #[error(transparent)]
    Collision(#[from] Collision),
    #[error("{kind} {id} is refused: {error}", kind = .error.kind)]
    Fsck { id: ObjectId, error: FsckError },
    #[error("the pack is larger than {limit} bytes (limits.pack)")]
    PackTooBig { limit: u64 },
    #[error("the pack holds {count} objects, more than {limit} (limits.objects)")]
    TooManyObjects { count: u32, limit: u32 },
    #[error("{} has {size} bytes, more than {limit} (limits.object)", name(.id.as_ref()))]
    ObjectTooBig { size: u64, limit: u64, id: Option<ObjectId> },
    #[error("deltas lie more than {limit} deep (limits.delta_depth)")]
    TooDeep { limit: u32 },
    #[error("the pack inflates to more than {limit} times its size (limits.inflate_ratio)")]
    InflateRatio { limit: u64 },
    #[error("read what the mirror has")]
    Store(#[source] ReadError),
    #[error("read back the indexed pack")]
    Open(#[from] crate::OpenPackError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl IndexError {
    /// Whether the sender of the pack is to blame, so that the message may be shown to it.
    pub fn is_senders_fault(&self) -> bool {
        match self {
            Self::Read(_)
            | Self::Truncated { .. }
            | Self::Signature
            | Self::Version { .. }
            | Self::Malformed { .. }
            | Self::Trailer
            | Self::Unresolved { .. }
            | Self::Twice { .. }
            | Self::Collision(_)
            | Self::Fsck { .. }
            | Self::PackTooBig { .. }
            | Self::TooManyObjects { .. }
            | Self::ObjectTooBig { .. }
            | Self::TooDeep { .. }
            | Self::InflateRatio { .. } => true,
            Self::Store(_) | Self::Open(_) | Self::File(_) | Self::Interrupted(_) => false,
        }
    }
}

fn name(id: Option<&ObjectId>) -> String {
    match id {
        Some(id) => format!("object {id}"),
        None => "an object".to_owned(),
    }
}
