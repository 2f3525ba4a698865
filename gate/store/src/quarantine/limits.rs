//! What a pack may be at most, and how far the work on it is.

use proto::ObjectId;

use super::IndexError;

/// The limits on one pack; the names are those of `[limits]`.
#[derive(Clone, Copy, Debug)]
pub struct IndexLimits {
    /// Bytes of the pack as it arrives.
    pub pack_bytes: u64,
    /// Objects in the pack.
    pub objects: u32,
    /// Bytes of one object, inflated, and of one delta's instructions.
    pub object_bytes: u64,
    /// Deltas upon deltas.
    pub delta_depth: u32,
    /// Bytes that one byte of the pack may become, counted over the whole pack and all its objects. What stays
    /// below [`INFLATE_FLOOR`] is always allowed: honest histories of large files are mostly deltas of a few bytes.
    pub inflate_ratio: u64,
}

/// What any pack may inflate to, in bytes.
pub const INFLATE_FLOOR: u64 = 1 << 30;

impl IndexLimits {
    /// Nothing is limited but what the formats themselves limit: for an origin that is trusted with sizes.
    pub const NONE: Self = Self {
        pack_bytes: u64::MAX,
        objects: u32::MAX,
        object_bytes: crate::MAX_OBJECT_SIZE,
        delta_depth: u32::MAX,
        inflate_ratio: u64::MAX,
    };

    pub(super) fn check_object(&self, size: u64, id: Option<ObjectId>) -> Result<(), IndexError> {
        if size <= self.object_bytes {
            return Ok(());
        }
        Err(IndexError::ObjectTooBig { size, limit: self.object_bytes, id })
    }

    /// `inflated` bytes were made of `received` bytes of pack.
    pub(super) fn check_ratio(&self, inflated: u64, received: u64) -> Result<(), IndexError> {
        let allowed = received.saturating_mul(self.inflate_ratio).max(INFLATE_FLOOR);
        if inflated <= allowed {
            return Ok(());
        }
        Err(IndexError::InflateRatio { limit: self.inflate_ratio })
    }
}

/// How far the indexing of a pack is. Told often; who shows it decides how often to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexProgress {
    /// Objects and bytes that arrived, of as many objects as the pack's header promises.
    Receiving { objects: u32, of: u32, bytes: u64 },
    /// Deltas that became objects.
    Resolving { deltas: u32, of: u32 },
}
