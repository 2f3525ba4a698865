use crate::pktline;
use crate::sideband::{self, Band, Width};

/// Writes the lines of a v2 answer: as they are, or in band 1 once the client asked for `sideband-all`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer {
    sideband_all: bool,
}

impl Writer {
    pub const fn new(sideband_all: bool) -> Self {
        Self { sideband_all }
    }

    /// Appends a line; `text` carries its own line feed.
    pub fn line(self, out: &mut Vec<u8>, text: &[u8]) {
        if self.sideband_all {
            sideband::frame(out, Band::Data, Width::Large, text);
        } else {
            pktline::encode(out, text);
        }
    }

    /// Appends the line that ends a conversation: band 3, or a packet `ERR …` (gitprotocol-pack, "error-line").
    pub fn error(self, out: &mut Vec<u8>, text: &str) {
        let text = &text.as_bytes()[..text.len().min(MAX_ERROR)];
        if self.sideband_all {
            sideband::frame(out, Band::Error, Width::Large, text);
        } else {
            pktline::encode_parts(out, &[b"ERR ", text]);
        }
    }
}

/// Longest error text sent; git's clients print one line.
const MAX_ERROR: usize = 4096;
