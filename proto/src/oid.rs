//! Object ids, as bytes of either hash and never as strings.

use std::fmt;

/// The hash a repository names its objects by (`object-format`, gitformat-hash-function-transition).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectFormat {
    #[default]
    Sha1,
    Sha256,
}

impl ObjectFormat {
    /// Length of a raw id in bytes.
    pub const fn raw_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Length of an id in hex digits.
    pub const fn hex_len(self) -> usize {
        self.raw_len() * 2
    }

    /// The name used on the wire and in git's config: `sha1` or `sha256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Reads the name that [`as_str`](Self::as_str) prints.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"sha1" => Some(Self::Sha1),
            b"sha256" => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The id of one object. Ordered by its bytes, as pack indexes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    bytes: [u8; 32],
    format: ObjectFormat,
}

impl ObjectId {
    /// The all-zero id that stands for "no object" in ref updates.
    pub const fn null(format: ObjectFormat) -> Self {
        Self { bytes: [0; 32], format }
    }

    /// Takes a raw id; its length (20 or 32) tells the format.
    pub fn from_raw(raw: &[u8]) -> Option<Self> {
        let format = match raw.len() {
            20 => ObjectFormat::Sha1,
            32 => ObjectFormat::Sha256,
            _ => return None,
        };
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { bytes, format })
    }

    /// Reads 40 or 64 hex digits, in lower case as git writes them or in upper case.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let format = match hex.len() {
            40 => ObjectFormat::Sha1,
            64 => ObjectFormat::Sha256,
            _ => return None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self { bytes, format })
    }

    /// The raw bytes, 20 or 32 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.raw_len()]
    }

    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    pub fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }

    /// The id in hex, as git prints it.
    pub fn to_hex(&self) -> String {
        self.to_string()
    }

    /// Appends the id in hex, without a string of its own: refs are listed by the ten thousands.
    pub fn append_hex(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hex()[..self.format.hex_len()]);
    }

    fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0_u8; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        f.write_str(std::str::from_utf8(&hex[..self.format.hex_len()]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_in_both_formats() {
        for hex in ["0123456789abcdef0123456789abcdef01234567".to_owned(), "ab".repeat(32)] {
            let id = ObjectId::from_hex(hex.as_bytes()).unwrap();
            assert_eq!(id.to_hex(), hex);
            assert_eq!(ObjectId::from_raw(id.as_bytes()), Some(id));
        }
    }

    #[test]
    fn refuses_other_lengths_and_digits() {
        for bad in ["", "abc", &"g".repeat(40), &"a".repeat(41), &"a".repeat(63)] {
            assert_eq!(ObjectId::from_hex(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
