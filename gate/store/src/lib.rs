//! Mirrors on disk: ordinary bare repositories of which every object lies in a pack and every ref in `packed-refs`.
//!
//! Synchronous; long work looks at an [`Interrupt`]. The only crate that names gix.

mod checksum;
mod connect;
mod count;
mod files;
mod filter;
mod fsck;
mod graph;
mod ids;
mod interrupt;
mod kept;
mod lock;
mod negotiate;
mod object;
mod object_set;
mod packs;
mod plan;
mod quarantine;
mod reach;
mod refs;
mod shallow;
mod shared;
mod snapshot;
mod store;
mod tree;
mod walk;
mod write;
mod write_objects;

pub use connect::{
    ConnectError, Connected, IntroducedBy, KnownBases, MAX_PATH, MAX_TREE_DEPTH, Visit,
};
pub use files::FileError;
pub use filter::{Filter, InvalidFilter, MAX_FILTER_SPEC};
pub use fsck::FsckError;
pub use graph::InvalidObject;
pub use interrupt::{Interrupt, Interrupted};
pub use kept::{KEPT_BYTES, KeptSize};
pub use lock::{DataLock, LockError};
pub use negotiate::Negotiation;
pub use object::{Collision, Kind, ObjectHasher, hash_object};
pub use packs::{
    Entry, EntryKind, Location, MAX_OBJECT_SIZE, OpenPackError, PACK_HEADER_LEN, Pack, PackOrder,
    PackSet, READER_CACHE, ReadError, Reader,
};
pub use plan::{PackPlan, PackRequest, plan};
pub use quarantine::{
    Check, INFLATE_FLOOR, IndexError, IndexLimits, IndexProgress, Indexed, Quarantine,
};
pub use refs::{PackedRefsError, RefChange, RefEntry, RefTable, RefTableBuilder, RefTableError};
pub use shallow::{Deepen, DeepenError, Deepened, INFINITE_DEPTH, deepen};
pub use snapshot::Snapshot;
pub use store::{
    CommitError, ConsolidateError, Consolidated, CreateStoreError, MAX_PACKS, OpenStoreError,
    RefEdit, Store,
};
pub use walk::WalkError;
pub use write::{Progress, WriteError, Written};
pub use write_objects::{PackOptions, write_objects};
