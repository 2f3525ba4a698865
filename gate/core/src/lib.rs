//! What the gate does: mirrors kept fresh, uploads served, pushes judged, scanned and forwarded. Knows no transport:
//! sessions and origins arrive as streams of bytes.

pub mod blocking;
pub mod client;
pub mod company;
pub mod dial;
mod error;
mod forward;
pub mod gate;
pub mod limits;
pub mod mirror;
pub mod policy;
pub mod receive;
pub mod scan;
pub mod session;
pub mod upload;

pub use client::Client;
pub use error::{Blame, Error, chain};
pub use gate::Gate;
pub use mirror::{Mirror, RefreshError};
pub use session::{Mode, Session};
