//! The client half of a fetch: what the gate says to an origin's upload-pack, and how it reads the answers.
//!
//! One machine per phase, used one after the other on the same connection: [`AdvertisementReader`], then (v2)
//! [`ls_refs_request`] and [`RefsReader`], then [`FetchRequest`] and [`FetchReader`]. Each takes bytes by `handle_input`
//! and tells what they say by `poll_event`; an answer belongs to one request, so nothing is left over between phases,
//! but for [`AdvertisementReader::take_rest`] where the refs were asked for early.
//! An origin is not trusted: counts and sizes are limited, and what is out of turn is an error.

mod advertisement;
mod fetch;
mod ls_refs;
mod request;

use bstr::BString;

use crate::{Service, pktline};

pub use advertisement::{Advertisement, AdvertisementReader, Listing};
pub use fetch::{FetchEvent, FetchReader};
pub use ls_refs::{Listed, RefsEvent, RefsReader, ls_refs_request};
pub use request::FetchRequest;

/// Most refs an origin may list.
pub const MAX_LISTED_REFS: usize = 2_000_000;
/// Most bytes of one list of refs, framing included.
pub const MAX_LISTED_BYTES: usize = 512 << 20;
/// Most capability lines of a v2 advertisement.
pub const MAX_CAPABILITY_LINES: usize = 256;
/// Most commits of a shallow origin's boundary.
pub const MAX_SHALLOW: usize = 1_000_000;

/// Why an origin's answer can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error(transparent)]
    Packet(#[from] pktline::Error),
    /// An `ERR` line or band 3: the origin's own words.
    #[error("{}", .0.escape_ascii())]
    Refused(BString),
    #[error("'{}' where {expected} was expected", .line.escape_ascii())]
    Unexpected { line: BString, expected: &'static str },
    #[error("a special packet where {0} was expected")]
    Special(&'static str),
    #[error("the answer is for another service than {0}")]
    OtherService(Service),
    #[error("object format '{}' is not known", .0.escape_ascii())]
    ObjectFormat(BString),
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("packfile-uris were sent, though not asked for")]
    PackfileUris,
    #[error("bytes behind the end of the answer")]
    Trailing,
}

impl Error {
    /// A line that has no place here, cut to what is worth showing.
    fn unexpected(line: &[u8], expected: &'static str) -> Self {
        Self::Unexpected { line: line[..line.len().min(80)].into(), expected }
    }
}

/// Turns an `ERR` line into the error it is.
fn refusal(line: &[u8]) -> Result<&[u8], Error> {
    match line.strip_prefix(b"ERR ") {
        Some(words) => Err(Error::Refused(words.into())),
        None => Ok(line),
    }
}
