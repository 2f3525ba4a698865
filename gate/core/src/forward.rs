//! Sends what was accepted to the origin, and hears what became of it: the origin's word is the result.
//!
//! Whatever goes wrong is one of two things. Before the last byte of commands was on its way the origin can't have
//! acted; after it, a missing report means that the outcome is *unknown*, and only the origin's refs can tell.

mod converse;
mod open;
mod pack;
mod precheck;
mod pulse;
#[cfg(test)]
mod tests;

pub(crate) use converse::{Answer, Fate, send};
pub(crate) use open::{Opened, open};
pub(crate) use pack::{WritePack, WritePackError};
pub(crate) use precheck::precheck;

use bstr::BString;
use proto::send_pack::Update;
use proto::{ObjectFormat, ObjectId};

/// What the gate calls itself to an origin.
const AGENT: &str = concat!("git-gate/", env!("CARGO_PKG_VERSION"));

/// What the origin is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) format: ObjectFormat,
    /// At least one; `old` is what the origin must still have.
    pub(crate) updates: Vec<Update>,
    /// Whether all stand or fall together.
    pub(crate) atomicity: Atomicity,
    /// Whether the origin may leave out its progress.
    pub(crate) quiet: bool,
    /// Push options, handed on as they came.
    pub(crate) options: Vec<BString>,
    /// The boundary of the mirror, if the origin is shallow.
    pub(crate) shallow: Vec<ObjectId>,
    pub(crate) session_id: String,
}

/// Who wants the refs of a push to stand or fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Atomicity {
    /// The client: an origin that can't is refused.
    Demanded,
    /// The gate, where the origin can.
    Preferred,
    /// Nobody: each ref for itself.
    Off,
}

impl Order {
    /// Whether a pack follows the commands.
    pub(crate) fn sends_pack(&self) -> bool {
        self.updates.iter().any(|update| update.new.is_some())
    }
}

/// What the origin, or the gate on the way to it, has to say to whoever waits. Saying it never waits: a client that does
/// not read loses words, and holds nobody up.
pub(crate) trait Tell: Send + Sync {
    /// The origin's own bytes, as they came.
    fn origin_said(&self, text: &[u8]);
    /// Bytes of pack handed to the origin so far.
    fn sent(&self, bytes: u64);
}
