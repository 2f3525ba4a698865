//! upload-pack, the server's half: v0 and v1 ([`V0`]), v2 ([`V2`]), by phase.
//!
//! The machines read requests and say what they ask for; who knows objects and refs answers through the functions of
//! [`advert`], [`ls_refs`], [`fetch`] and [`object_info`], which only write bytes. Packs go past the machines.

pub mod advert;
mod arguments;
mod error;
pub mod fetch;
pub mod ls_refs;
pub mod object_info;
mod v0;
mod v2;
mod writer;

pub use arguments::{Deepen, Fetch, WantRef};
pub use error::Error;
pub use ls_refs::LsRefs;
pub use object_info::ObjectInfo;
pub use v0::{Event as V0Event, Have, V0};
pub use v2::{Event as V2Event, V2};
pub use writer::Writer;

/// How much one request may hold; each is a name in the gate's `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `limits.wants`: wanted ids, ids of `object-info`.
    pub wants: usize,
    /// `limits.haves`: haves, and lines that tell of the client's shallow commits.
    pub haves: usize,
}
