//! The git smart protocol, sans I/O: both halves of fetch and of push, as state machines over bytes.
//!
//! Nothing here opens, waits, or looks at a clock. A machine takes bytes by `handle_input`, tells what happened by
//! `poll_event`, and hands out what it wants sent by `take_output`.

pub mod capability;
pub mod fetch_pack;
mod oid;
pub mod pktline;
pub mod receive_pack;
mod refs;
pub mod request;
pub mod send_pack;
mod service;
pub mod sideband;
pub mod upload_pack;

pub use capability::Capabilities;
pub use oid::{ObjectFormat, ObjectId};
pub use refs::{Head, InvalidRefName, MAX_REF_NAME, Ref, RefName};
pub use service::{Service, Version};
