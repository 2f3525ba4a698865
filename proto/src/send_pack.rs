//! Client half of a push (gitprotocol-pack, "Pushing Data To a Server"): how the gate forwards to the origin.
//!
//! Three machines for the three things that happen: read the origin's advertisement, write the commands, read the report.
//! Between the second and the third the pack goes past them, as bytes.

mod advert;
mod report;
mod request;

pub use advert::{Advertisement, AdvertisementReader};
pub use report::{Event, ReportReader};
pub use request::{Request, Update};

use crate::pktline;
use bstr::{BString, ByteSlice};

/// Why the origin's side of a push can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Packet(#[from] pktline::Error),
    /// An `ERR` packet, or a last word on band 3.
    #[error("{}", .0.escape_ascii())]
    Remote(BString),
    #[error("origin's advertisement has the line '{}'", .0.escape_ascii())]
    Advertisement(BString),
    #[error("origin's report has the line '{}'", .0.escape_ascii())]
    Report(BString),
    #[error("origin sent a packet of unknown band")]
    Band,
    #[error("origin speaks object format {}, the mirror another", .0.escape_ascii())]
    Format(BString),
    #[error("origin hung up within {0}")]
    Cut(&'static str),
}

/// The text of an `ERR` line.
fn remote_error(line: &[u8]) -> Option<Error> {
    line.strip_prefix(b"ERR ").map(|text| Error::Remote(text.trim().into()))
}
