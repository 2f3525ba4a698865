//! Who may push what: pure functions from a push to a verdict for each ref.
//!
//! Commands are judged twice: before a byte of the pack is read, by their names and ids alone, and once the new objects
//! are known, by how far a ref moves and what the commits bring.

mod commands;
mod content;
mod moves;

pub use commands::{Judged, Refusal, judge_commands};
pub use content::judge_content;
pub use moves::{Move, judge_moves, wants_moves};
