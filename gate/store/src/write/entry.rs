//! Headers of pack entries, written (gitformat-pack(5)).

use proto::ObjectId;

use crate::Kind;

/// How an entry is stored in the pack being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Its old header still tells the truth.
    AsItLies,
    Whole(Kind),
    /// A delta against the entry at this offset.
    OfsDelta(u64),
    RefDelta(ObjectId),
}

/// A header's bytes: at most ten for the size, and a distance or an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderBytes {
    bytes: [u8; 44],
    len: usize,
}

impl HeaderBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Header {
    /// The header of an entry at offset `at` whose data inflate to `size` bytes.
    pub(super) fn bytes(self, size: u64, at: u64) -> HeaderBytes {
        let mut out = HeaderBytes { bytes: [0; 44], len: 0 };
        let number = match self {
            Self::AsItLies => return out,
            Self::Whole(kind) => kind.pack_type(),
            Self::OfsDelta(_) => 6,
            Self::RefDelta(_) => 7,
        };
        let mut byte = number << 4 | (size & 15) as u8;
        let mut rest = size >> 4;
        while rest != 0 {
            out.push(&[byte | 0x80]);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        out.push(&[byte]);
        match self {
            Self::OfsDelta(base) => push_distance(&mut out, at - base),
            Self::RefDelta(base) => out.push(base.as_bytes()),
            Self::AsItLies | Self::Whole(_) => {}
        }
        out
    }
}

/// A base-128 number, most significant first, in which each further byte adds one.
fn push_distance(out: &mut HeaderBytes, distance: u64) {
    let mut bytes = [0; 10];
    let mut at = bytes.len() - 1;
    bytes[at] = (distance & 0x7f) as u8;
    let mut rest = distance >> 7;
    while rest != 0 {
        rest -= 1;
        at -= 1;
        bytes[at] = 0x80 | (rest & 0x7f) as u8;
        rest >>= 7;
    }
    out.push(&bytes[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind;
    use crate::packs::EntryHeader;
    use proto::ObjectFormat;

    #[test]
    fn what_is_written_reads_the_same() {
        let id = ObjectId::null(ObjectFormat::Sha256);
        let at = 1 << 45;
        for size in [0, 1, 15, 16, 2047, 2048, u64::from(u32::MAX), u64::MAX] {
            for distance in [1, 127, 128, 16_511, 16_512, 1 << 40] {
                let cases = [
                    (Header::Whole(Kind::Tag), EntryKind::Whole(Kind::Tag)),
                    (Header::OfsDelta(at - distance), EntryKind::OfsDelta { base: at - distance }),
                    (Header::RefDelta(id), EntryKind::RefDelta { base: id }),
                ];
                for (header, kind) in cases {
                    let bytes = header.bytes(size, at);
                    let read = EntryHeader::from_slice(at, ObjectFormat::Sha256, bytes.as_slice());
                    assert_eq!(read, Ok(EntryHeader { kind, size, len: bytes.len }));
                }
            }
        }
    }
}
