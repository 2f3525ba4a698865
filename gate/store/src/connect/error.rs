//! Why tips are not whole.

use proto::ObjectId;

use crate::graph::InvalidObject;
use crate::{Interrupted, Kind, ReadError, WalkError};

/// Tips cannot be proven whole, or what is new cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{kind} {id} is missing{}", needed(.by.as_ref()), kind = .expected.map_or("object", Kind::as_str))]
    Missing { id: ObjectId, expected: Option<Kind>, by: Option<ObjectId> },
    #[error("object {id} is a {actual}, but used as a {expected}{}", needed(.by.as_ref()))]
    Kind { id: ObjectId, expected: Kind, actual: Kind, by: Option<ObjectId> },
    #[error("object {id}")]
    Object {
        id: ObjectId,
        #[source]
        source: InvalidObject,
    },
    #[error("tree {id} is malformed")]
    Tree { id: ObjectId },
    #[error("the new commits hold more than {limit} paths")]
    TooManyPaths { limit: usize },
    #[error(
        "a path is longer than {} bytes, or deeper than {}",
        super::MAX_PATH,
        super::MAX_TREE_DEPTH
    )]
    PathTooLong { commit: Option<ObjectId> },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ConnectError {
    /// Whether the sender of the pack is to blame, so that the message may be shown to it.
    pub fn is_senders_fault(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Kind { .. }
            | Self::Object { .. }
            | Self::Tree { .. }
            | Self::TooManyPaths { .. }
            | Self::PathTooLong { .. } => true,
            Self::Read(_) | Self::Walk(_) | Self::Interrupted(_) => false,
        }
    }
}

fn needed(by: Option<&ObjectId>) -> String {
    by.map(|by| format!(" (needed by {by})")).unwrap_or_default()
}
