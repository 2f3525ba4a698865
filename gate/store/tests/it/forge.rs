//! Packs made by hand, for what git would never write.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proto::{ObjectFormat, ObjectId};
use sha1::Digest;
use std::io::Write;

/// A pack under construction; lies are up to the test.
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
    format: ObjectFormat,
    count: u32,
}

pub(crate) const COMMIT: u8 = 1;
pub(crate) const TREE: u8 = 2;
pub(crate) const BLOB: u8 = 3;
pub(crate) const OFS: u8 = 6;
pub(crate) const REF: u8 = 7;

impl Forge {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        Self { bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), format, count: 0 }
    }

    /// An entry of `kind`; `size` is what its header says.
    pub(crate) fn entry(&mut self, kind: u8, size: u64, base: &[u8], content: &[u8]) -> u64 {
        let offset = self.bytes.len() as u64;
        let mut byte = kind << 4 | (size & 15) as u8;
        let mut rest = size >> 4;
        while rest > 0 {
            self.bytes.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        self.bytes.push(byte);
        self.bytes.extend_from_slice(base);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(content).expect("to memory");
        self.bytes.extend(zlib.finish().expect("to memory"));
        self.count += 1;
        offset
    }

    pub(crate) fn object(&mut self, kind: u8, content: &[u8]) -> u64 {
        self.entry(kind, content.len() as u64, b"", content)
    }

    pub(crate) fn ref_delta(&mut self, base: &ObjectId, delta: &[u8]) -> u64 {
        self.entry(REF, delta.len() as u64, base.as_bytes(), delta)
    }

    /// `distance` below 128.
    pub(crate) fn ofs_delta(&mut self, distance: u8, delta: &[u8]) -> u64 {
        self.entry(OFS, delta.len() as u64, &[distance], delta)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let count = self.count;
        self.finish_with_count(count)
    }

    pub(crate) fn finish_with_count(mut self, count: u32) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&count.to_be_bytes());
        seal(self.bytes, self.format)
    }
}

/// Appends the checksum.
pub(crate) fn seal(mut bytes: Vec<u8>, format: ObjectFormat) -> Vec<u8> {
    let sum = match format {
        ObjectFormat::Sha1 => sha1::Sha1::digest(&bytes).to_vec(),
        ObjectFormat::Sha256 => sha2::Sha256::digest(&bytes).to_vec(),
    };
    bytes.extend(sum);
    bytes
}

/// A delta that inserts `piece` and copies nothing.
pub(crate) fn insert(base_len: u8, piece: &[u8]) -> Vec<u8> {
    let mut delta = vec![base_len, piece.len() as u8, piece.len() as u8];
    delta.extend_from_slice(piece);
    delta
}
