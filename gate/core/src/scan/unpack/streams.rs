//! Compressed streams within a binary file of any kind, as far as they hold text: a PDF's pages, the words of a picture,
//! the objects of a pack of git's.

use std::io::Read;

use bstr::{BStr, ByteSlice};
use flate2::{Decompress, FlushDecompress, Status};

use super::inner;
use crate::scan::text::reads_as_text;

pub(super) const PDF_MAGIC: &[u8] = b"%PDF-";
/// A larger file is looked at as far as this.
const LONGEST: u64 = 64 << 20;
/// How much of one stream is unpacked; a page of text is far smaller.
const LONGEST_STREAM: usize = 4 << 20;
/// How much of one file's streams is unpacked.
const ALL_STREAMS: usize = 64 << 20;
/// What unpacks to less is no stream but chance, or too short to hold a token.
const SHORTEST: usize = 16;

/// Whether a content that begins so may hold streams: text holds none, but for the heads of some.
pub(super) fn may_be_in(head: &[u8]) -> bool {
    head.contains(&0)
        || head.starts_with(PDF_MAGIC)
        || head.starts_with(b"# v")
        || head.contains(&0x9c)
}

/// Shows each stream that is text once unpacked. Pictures and fonts are left out.
pub(super) fn members(
    path: &BStr,
    content: &mut dyn Read,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    let mut file = Vec::new();
    // what can't be read is left out
    let _damage = content.take(LONGEST).read_to_end(&mut file);
    let (mut at, mut left, mut number) = (0, ALL_STREAMS, 0);
    let mut inflate = Decompress::new(true);
    while let Some(next) = file[at..].find_byte(0x78) {
        at += next;
        let data = &file[at..];
        if !begins_as_stream(data) {
            at += 1;
            continue;
        }
        inflate.reset(true);
        let text = unpack(&mut inflate, data, LONGEST_STREAM.min(left));
        left -= text.len();
        if text.len() < SHORTEST {
            at += 1;
            continue;
        }
        number += 1;
        if reads_as_text(&text) {
            at += usize::try_from(inflate.total_in()).unwrap_or(1).max(1);
            let name = inner(path, format!("stream {number}").as_bytes());
            if !each(BStr::new(&name), &mut &text[..]) {
                return;
            }
        } else {
            // another may lie in what only looked like one
            at += 1;
        }
        if left == 0 {
            return;
        }
    }
}

/// What a stream holds, as far as it goes.
fn unpack(inflate: &mut Decompress, data: &[u8], limit: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < limit {
        text.reserve((limit - text.len()).min(text.len().max(4096)));
        let (read, held) = (inflate.total_in() as usize, text.len());
        let status = inflate.decompress_vec(&data[read..], &mut text, FlushDecompress::None);
        let stands = inflate.total_in() as usize == read && text.len() == held;
        if stands || !matches!(status, Ok(Status::Ok | Status::BufError)) {
            break;
        }
    }
    text.truncate(limit);
    text
}

/// Whether this begins as zlib's data does, with the window that everybody takes.
fn begins_as_stream(data: &[u8]) -> bool {
    matches!(data, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    fn zlib(bytes: &[u8], level: Compression) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn one_that_lies_in_another_that_is_no_text_is_shown() {
        let text = b"some words that are long enough to be a text";
        let noise: Vec<u8> = (0..200).map(|n: u8| n.wrapping_mul(151)).collect();
        let held = [&noise[..], &zlib(text, Compression::best()), &noise[..]].concat();
        let file = [&noise[..], &zlib(&held, Compression::none())].concat();
        let mut shown = Vec::new();
        members(BStr::new("a.bin"), &mut &file[..], &mut |_, stream| {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            shown.push(bytes);
            true
        });
        assert_eq!(shown, [text]);
    }
}
