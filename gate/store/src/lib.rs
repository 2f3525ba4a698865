//! Mirrors on disk: refs, packs, quarantine and reachability. Synchronous, and the only crate that names gix.

mod interrupt;

pub use interrupt::{Interrupt, Interrupted};
