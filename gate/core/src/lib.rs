//! What the gate does: mirrors kept fresh, uploads served, pushes judged, scanned and forwarded. Knows no transport:
//! sessions and origins arrive as streams of bytes.

pub mod blocking;
pub mod dial;
mod error;

pub use error::{Blame, Error};
