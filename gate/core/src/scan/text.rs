//! Makes text of bytes: what the scanner's regular expressions can see.

use bstr::ByteSlice;
use memchr::memchr;

/// Stands for every byte that is no text: control characters, and what is not UTF-8. RE2 never matches invalid UTF-8, so one
/// such byte within a key would hide it. A form feed is white space to every rule, and most of them want some after a token,
/// where a program or a database has a NUL or the length of what follows.
const NO_TEXT: u8 = 0x0c;

/// Replaces, from `from` on, control characters and invalid UTF-8 byte by byte, so that no position moves.
///
/// Answers how much of the text is clean now: all of it at the end of the input, else perhaps not the last bytes, which
/// may be the beginning of a character.
pub(super) fn sanitize(text: &mut [u8], from: usize, at_end: bool) -> usize {
    let mut clean = from;
    let end = loop {
        match std::str::from_utf8(&text[clean..]) {
            Ok(_) => break text.len(),
            Err(error) => {
                clean += error.valid_up_to();
                let bad = match error.error_len() {
                    Some(length) => length,
                    None if at_end => text.len() - clean,
                    None => break clean,
                };
                text[clean..clean + bad].fill(NO_TEXT);
                clean += bad;
            }
        }
    };
    for byte in &mut text[from..end] {
        if byte.is_ascii_control() && !matches!(*byte, b'\t' | b'\n' | b'\r') {
            *byte = NO_TEXT;
        }
    }
    end
}

/// Nine of ten bytes are printable ASCII, or all of it is UTF-8 without control characters.
pub(super) fn reads_as_text(bytes: &[u8]) -> bool {
    let is_space = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r');
    let printable = bytes.iter().filter(|byte| matches!(byte, b' '..=b'~') || is_space(**byte));
    printable.count() * 10 >= bytes.len() * 9
        || bytes
            .to_str()
            .is_ok_and(|text| text.bytes().all(|byte| is_space(byte) || !byte.is_ascii_control()))
}

/// UTF-16 as its first bytes show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Utf16 {
    Little,
    Big,
}

impl Utf16 {
    /// Knows UTF-16 by its byte order mark, or by every second byte of mostly Latin text being NUL.
    pub(super) fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xfe, ..] => return Some(Self::Little),
            [0xfe, 0xff, ..] => return Some(Self::Big),
            _ => {}
        }
        let pairs = head.len() / 2;
        let nul = |at: usize| head.chunks_exact(2).filter(|pair| pair[at] == 0).count();
        let (even, odd) = (nul(0), nul(1));
        match pairs {
            0..4 => None,
            _ if odd * 3 > pairs && even * 20 < pairs => Some(Self::Little),
            _ if even * 3 > pairs && odd * 20 < pairs => Some(Self::Big),
            _ => None,
        }
    }
}

/// Decodes UTF-16 in pieces of any size.
#[derive(Debug)]
pub(super) struct Utf16Decoder {
    order: Utf16,
    half: Option<u8>,
    high: Option<u16>,
}

impl Utf16Decoder {
    pub(super) fn new(order: Utf16) -> Self {
        Self { order, half: None, high: None }
    }

    /// Decodes the next bytes to UTF-8; what is no character becomes U+FFFD.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            let Some(first) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            let unit = match self.order {
                Utf16::Little => u16::from_le_bytes([first, byte]),
                Utf16::Big => u16::from_be_bytes([first, byte]),
            };
            self.unit(unit, out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        let high = self.high.take();
        if high.is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        for decoded in char::decode_utf16(high.into_iter().chain([unit])) {
            let decoded = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Finds ASCII written in wide characters (`W` bytes each, in either order) within bytes of any kind, as `strings -el`
/// does, and prints each find on a line of its own.
#[derive(Debug, Default)]
pub(super) struct WideStrings<const W: usize> {
    run: Vec<u8>,
    /// NULs since the last character of the run.
    nuls: usize,
}

impl<const W: usize> WideStrings<W> {
    /// The shortest run worth showing; no rule's secret is shorter.
    const SHORTEST: usize = 10;
    /// Where a run is split, so that its memory is bounded; far above any secret.
    const LONGEST: usize = 1 << 20;

    /// Takes the next bytes.
    pub(super) fn find(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.run.is_empty() {
                // A run begins one byte before a NUL: skip at memchr's speed to the next one.
                match memchr(0, bytes) {
                    None => bytes = &bytes[bytes.len() - 1..],
                    Some(nul) if nul > 1 => bytes = &bytes[nul - 1..],
                    Some(_) => {}
                }
                let byte = bytes[0];
                if is_text(byte) {
                    self.run.push(byte);
                    self.nuls = 0;
                }
                bytes = &bytes[1..];
                continue;
            }
            bytes = rest;
            if byte == 0 && self.nuls < W - 1 {
                self.nuls += 1;
            } else if is_text(byte) && self.nuls == W - 1 && self.run.len() < Self::LONGEST {
                self.run.push(byte);
                self.nuls = 0;
            } else {
                self.end(out);
                if is_text(byte) {
                    self.run.push(byte);
                }
            }
        }
    }

    /// Prints the run that stands open; call it at the end of the input too.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.run.len() >= Self::SHORTEST {
            // In big-endian text the last character belongs to the run, in little-endian text what follows it may be
            // taken for one: show both readings.
            if self.nuls == 0 {
                out.extend_from_slice(&self.run[..self.run.len() - 1]);
                out.push(b'\n');
            }
            out.extend_from_slice(&self.run);
            out.push(b'\n');
        }
        self.run.clear();
        self.nuls = 0;
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        assert_eq!(sanitize(&mut text, 0, true), text.len());
        text
    }

    #[test]
    fn whatever_is_no_text_becomes_white_space_of_its_own_length() {
        assert_eq!(clean(b"a\0b"), b"a\x0cb");
        assert_eq!(clean(b"a\xff\xfeb"), b"a\x0c\x0cb");
        assert_eq!(clean("é\0ü".as_bytes()), "é\x0cü".as_bytes());
        assert_eq!(clean(b"a\xc3"), b"a\x0c");
        assert_eq!(clean(b"\x1f\t\r\n\x7f "), b"\x0c\t\r\n\x0c ");
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut text = b"a\xc3".to_vec();
        assert_eq!(sanitize(&mut text, 0, false), 1);
        text.push(0xa9);
        assert_eq!(sanitize(&mut text, 1, false), 3);
        assert_eq!(text, "aé".as_bytes());
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    #[test]
    fn utf16_is_known_with_and_without_its_mark() {
        assert_eq!(Utf16::detect(&utf16("\u{feff}ä", false)), Some(Utf16::Little));
        assert_eq!(Utf16::detect(&utf16("\u{feff}ä", true)), Some(Utf16::Big));
        assert_eq!(Utf16::detect(&utf16("token = 'x'", false)), Some(Utf16::Little));
        assert_eq!(Utf16::detect(&utf16("token = 'x'", true)), Some(Utf16::Big));
        for other in [&b"token = 'x'"[..], b"", b"\0\0\0\0\0\0\0\0\0\0", b"\x7fELF\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(Utf16::detect(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn utf16_decodes_in_pieces() {
        let text = "token = 'ä€😀'\n";
        for (order, big) in [(Utf16::Little, false), (Utf16::Big, true)] {
            for piece in 1..5 {
                let (mut decoder, mut out) = (Utf16Decoder::new(order), Vec::new());
                utf16(text, big).chunks(piece).for_each(|bytes| decoder.decode(bytes, &mut out));
                assert_eq!(out, text.as_bytes());
            }
        }
    }

    #[test]
    fn wide_strings_are_found_within_anything() {
        for big in [false, true] {
            for piece in [1, 2, 3, 100] {
                let mut bytes = b"MZ\x90\0\xff\xfe\x01plain text\xff".to_vec();
                bytes.extend(utf16("a wide string", big));
                bytes.extend(b"\xff\xffmore");
                let (mut wide, mut out) = (WideStrings::<2>::default(), Vec::new());
                bytes.chunks(piece).for_each(|bytes| wide.find(bytes, &mut out));
                wide.end(&mut out);
                let out = String::from_utf8(out).unwrap();
                assert!(out.lines().any(|line| line == "a wide string"), "{big} {piece}: {out:?}");
                assert!(!out.contains("plain"), "{out:?}");
            }
        }
    }

    #[test]
    fn wide_strings_of_four_bytes_are_found() {
        let bytes: Vec<u8> = "a wide string".bytes().flat_map(|byte| [byte, 0, 0, 0]).collect();
        let (mut wide, mut out) = (WideStrings::<4>::default(), Vec::new());
        wide.find(&bytes, &mut out);
        wide.end(&mut out);
        assert_eq!(out, b"a wide string\n");
    }
}
