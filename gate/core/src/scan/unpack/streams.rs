//! The compressed streams of a PDF, as far as they hold text.

use std::io::{self, Read};

use bstr::{BStr, ByteSlice};
use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::inner;
use crate::scan::text::reads_as_text;

/// A larger one is looked at as far as this.
const LONGEST: u64 = 64 << 20;
/// How much of one stream is unpacked; a page of text is far smaller.
const LONGEST_STREAM: u64 = 4 << 20;
/// How much of one file's streams is unpacked.
const ALL_STREAMS: usize = 64 << 20;

/// Shows each stream that is text once unpacked. Pictures and fonts are left out.
pub(super) fn streams(
    path: &BStr,
    content: &mut dyn Read,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    let mut file = Vec::new();
    // what can't be read is left out
    let _damage = content.take(LONGEST).read_to_end(&mut file);
    let (mut left, mut text) = (ALL_STREAMS, Vec::new());
    for (number, at) in memmem::find_iter(&file, b"stream").enumerate() {
        let data = file[at + b"stream".len()..].trim_start_with(|c| c == '\r' || c == '\n');
        if !is_zlib(data) {
            continue;
        }
        text.clear();
        let unpacked = ZlibDecoder::new(data).take(LONGEST_STREAM.min(left as u64));
        let _damage = io::BufReader::new(unpacked).read_to_end(&mut text);
        left -= text.len();
        let name = inner(path, format!("stream {number}").as_bytes());
        if reads_as_text(&text) && !each(BStr::new(&name), &mut &text[..]) {
            return;
        }
    }
}

/// Whether this begins as zlib's compressed data does.
pub(super) fn is_zlib(data: &[u8]) -> bool {
    match data {
        [method @ 0x78, flags @ (0x01 | 0x5e | 0x9c | 0xda), ..] => {
            (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}
