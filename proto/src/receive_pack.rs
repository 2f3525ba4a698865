//! Server half of a push (gitprotocol-pack, "Pushing Data To a Server"): advertise, read what the client asks for, report.
//!
//! The pack is not read here. Once the commands are read, the machine hands back the bytes it holds beyond them, and the
//! rest of the stream is a plain copy.

mod advert;
mod commands;
mod reply;
mod report;

pub use advert::{Advertiser, Offer};
pub use commands::{Asked, Command, Error, Event, Limits, PushRequest, ReceivePack};
pub use reply::Reply;
pub use report::{Outcome, RefReport, Report, Rewrite};
