//! Mirrors on disk: ordinary bare repositories of which every object lies in a pack and every ref in `packed-refs`.
//!
//! Synchronous; long work looks at an [`Interrupt`]. The only crate that names gix.

mod ids;
mod interrupt;
mod object;
mod packs;

pub use interrupt::{Interrupt, Interrupted};
pub use object::{Collision, Kind, ObjectHasher, hash_object};
pub use packs::{
    Corruption, Entry, EntryKind, Location, MAX_OBJECT_SIZE, OpenPackError, PACK_HEADER_LEN, Pack,
    PackOrder, PackSet, READER_CACHE, ReadError, Reader,
};
