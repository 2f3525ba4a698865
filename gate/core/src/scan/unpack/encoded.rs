//! Base64 and hex in text that the scanner does not decode by itself: wrapped into lines, too long for one segment, or of
//! UTF-16 or an archive.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bstr::ByteSlice;

use super::archive::Archive;
use super::streams::PDF_MAGIC;
use crate::scan::text::{Utf16, reads_as_text};

/// Shorter runs hold no secret.
const SHORTEST: usize = 40;
/// A longer run lies in several segments, and the scanner decodes what begins in the middle of a group wrongly.
const ONE_SEGMENT: usize = 16 * 1024;

/// What is longer is decoded in pieces, so that its memory is bounded; a multiple of four.
const LONGEST: usize = 8 << 20;

/// As the letters themselves say it; whatever stands behind the last four whole ones is left out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How bytes are written as letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Base64,
    Hex,
}

impl Spelling {
    /// As it stands in the path of what is decoded.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }

    const fn is_letter(self, byte: u8) -> bool {
        match self {
            Self::Base64 => {
                matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_')
            }
            Self::Hex => byte.is_ascii_hexdigit(),
        }
    }

    fn decode(self, mut letters: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => {
                if letters.len() % 4 == 1 {
                    letters.pop();
                }
                for letter in &mut letters {
                    match *letter {
                        b'-' => *letter = b'+',
                        b'_' => *letter = b'/',
                        _ => {}
                    }
                }
                LENIENT.decode(&letters).ok()
            }
            Self::Hex => {
                let digit = |letter: u8| char::from(letter).to_digit(16).map(|digit| digit as u8);
                letters
                    .chunks_exact(2)
                    .map(|two| Some(digit(two[0])? << 4 | digit(two[1])?))
                    .collect()
            }
        }
    }
}

/// Shows what is spelled so, and the line (from 1) where it begins. What decodes to no text and no archive is left out, and
/// so is what the scanner sees by itself.
pub(super) fn decode(text: &[u8], spelling: Spelling, each: &mut dyn FnMut(u64, &[u8])) {
    let mut block = Block::new(spelling);
    let is_letter = |byte: &u8| spelling.is_letter(*byte);
    for (number, line) in text.lines().enumerate() {
        let number = number as u64 + 1;
        // A string of JSON has its line ends spelled out, and letters beside its quotes.
        let mut pieces = line.split_str("\\n").peekable();
        let is_string = line.find("\\n").is_some();
        let mut is_begin = is_string;
        while let Some(piece) = pieces.next() {
            let letters = match (is_begin, is_string && pieces.peek().is_none()) {
                (true, _) => piece.rsplit_once_str("\"").map_or(piece, |(_, letters)| letters),
                (false, true) => piece.split_once_str("\"").map_or(piece, |(letters, _)| letters),
                (false, false) => bare(piece),
            };
            is_begin = false;
            let letters = letters.trim_end_with(|c| c == '=');
            if letters.len() >= 4 && letters.iter().all(is_letter) {
                block.take(number, letters, is_joined(line, letters), each);
                continue;
            }
            block.end(each);
            if piece.len() >= SHORTEST {
                let runs = piece.split(|byte| !is_letter(byte)).filter(|run| run.len() >= SHORTEST);
                for run in runs.flat_map(|run| run.chunks(LONGEST)) {
                    let mut alone = Block::new(spelling);
                    alone.take(number, run, is_joined(line, run), each);
                    alone.end(each);
                }
            }
        }
    }
    block.end(each);
}

/// Whether another letter or digit stands right beside a part of this line, as in `0x6162` or the `n` of `"\n…"`: then the
/// scanner does not see where it begins or ends.
fn is_joined(line: &[u8], part: &[u8]) -> bool {
    let start = part.as_ptr() as usize - line.as_ptr() as usize;
    let beside = [start.checked_sub(1).and_then(|at| line.get(at)), line.get(start + part.len())];
    beside.into_iter().flatten().any(u8::is_ascii_alphanumeric)
}

/// What a line holds between quotes, or without the signs of a comment or a continuation around it.
fn bare(line: &[u8]) -> &[u8] {
    match (line.find_byteset(b"\"'"), line.rfind_byteset(b"\"'")) {
        (Some(open), Some(close)) if open < close => &line[open + 1..close],
        _ => line.trim_with(|c| c.is_ascii_whitespace() || ",;\\#*>|".contains(c)),
    }
}

/// Lines of one length, and a last one that may be shorter.
struct Block {
    spelling: Spelling,
    first: u64,
    lines: usize,
    length: usize,
    letters: Vec<u8>,
    is_joined: bool,
}

impl Block {
    fn new(spelling: Spelling) -> Self {
        Self { spelling, first: 0, lines: 0, length: 0, letters: Vec::new(), is_joined: false }
    }

    fn take(
        &mut self,
        number: u64,
        letters: &[u8],
        is_joined: bool,
        each: &mut dyn FnMut(u64, &[u8]),
    ) {
        if self.lines > 0 && letters.len() > self.length {
            self.end(each);
        }
        if self.lines == 0 {
            (self.first, self.length, self.is_joined) = (number, letters.len(), is_joined);
        }
        self.lines += 1;
        self.letters.extend_from_slice(letters);
        if letters.len() < self.length || self.letters.len() >= LONGEST {
            self.end(each);
        }
    }

    fn end(&mut self, each: &mut dyn FnMut(u64, &[u8])) {
        let Self { spelling, first, lines, letters, is_joined, .. } =
            std::mem::replace(self, Self::new(self.spelling));
        if letters.len() < SHORTEST {
            return;
        }
        let is_seen = lines == 1 && letters.len() < ONE_SEGMENT && !is_joined;
        let Some(decoded) = spelling.decode(letters) else { return };
        if is_worth_showing(&decoded, is_seen) {
            each(first, &decoded);
        }
    }
}

/// Whether something decoded is text or an archive, and not text that the scanner decodes by itself.
pub(super) fn is_worth_showing(decoded: &[u8], is_seen: bool) -> bool {
    let is_text = || Utf16::detect(decoded).is_some() || !is_seen && reads_as_text(decoded);
    let archives = Archive::detect(decoded, decoded);
    let is_archive = !archives.is_empty() && archives != [Archive::Streams];
    is_archive || decoded.starts_with(PDF_MAGIC) || is_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const TEXT: &[u8] = b"some words that are long enough to be wrapped into several lines of base64, and then some";

    fn decoded(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        for spelling in [Spelling::Base64, Spelling::Hex] {
            decode(text, spelling, &mut |line, bytes| all.push((line, bytes.to_vec())));
        }
        all
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn wrap(letters: &str, before: &str, length: usize, after: &str) -> String {
        let lines = letters.as_bytes().chunks(length).map(|line| line.to_str().unwrap());
        lines.map(|line| format!("{before}{line}{after}")).collect()
    }

    #[test]
    fn wrapped_lines_are_one_block_whatever_stands_around_them() {
        let letters = STANDARD.encode(TEXT);
        for (before, length, after) in
            [("", 76, "\n"), ("", 64, "\r\n"), ("  \"", 32, "\" +\n"), ("# ", 20, "\n")]
        {
            let text = format!("data:\n\n{}\nthe end\n", wrap(&letters, before, length, after));
            assert_eq!(decoded(text.as_bytes()), [(3, TEXT.to_vec())], "{text}");
        }
        assert_eq!(decoded(wrap(&hex(TEXT), "", 60, "\n").as_bytes()), [(1, TEXT.to_vec())]);
        let json = format!("{{\n  \"content\": \"{}\",\n", wrap(&letters, "", 60, "\\n"));
        assert_eq!(decoded(json.as_bytes()), [(2, TEXT.to_vec())], "{json}");
        let letters = URL_SAFE_NO_PAD.encode(TEXT);
        assert_eq!(decoded(wrap(&letters, "", 60, "\n").as_bytes()), [(1, TEXT.to_vec())]);
    }

    #[test]
    fn letters_at_the_ends_of_lines_stay() {
        let text: Vec<u8> =
            (0..900_u32).flat_map(|n| format!("~o?~{n}~>>~").into_bytes()).collect();
        let letters = STANDARD.encode(&text);
        let wrapped = wrap(&letters, "", 76, "\n");
        assert!(
            wrapped.lines().any(|line| line.starts_with(['+', '/']) || line.ends_with(['+', '/']))
        );
        assert_eq!(decoded(wrapped.as_bytes()), [(1, text.clone())]);
        assert_eq!(decoded(wrap(&letters, "  + '", 60, "'\n").as_bytes()), [(1, text)]);
    }

    #[test]
    fn what_the_scanner_decodes_itself_is_left_to_it() {
        assert_eq!(decoded(STANDARD.encode(TEXT).as_bytes()), []);
        assert_eq!(decoded(hex(TEXT).as_bytes()), []);
        let joined = format!("x = 0x{}; y = \"a\\n{}\\n\"", hex(TEXT), STANDARD.encode(TEXT));
        assert_eq!(decoded(joined.as_bytes()), [(1, TEXT.to_vec()), (1, TEXT.to_vec())]);
        let long = TEXT.repeat(300);
        let text = format!("x = \"{}\"\n", STANDARD.encode(&long));
        assert_eq!(decoded(text.as_bytes()), [(1, long)]);
    }

    #[test]
    fn wide_text_is_shown_and_noise_is_not() {
        let wide: Vec<u8> = "powershell takes its commands like this"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let text = format!("powershell -EncodedCommand {}\n", STANDARD.encode(&wide));
        assert_eq!(decoded(text.as_bytes()), [(1, wide)]);
        let noise: Vec<u8> =
            (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(decoded(wrap(&STANDARD.encode(&noise), "", 64, "\n").as_bytes()), []);
        assert_eq!(
            decoded("lorem/ipsum/dolor/sit/amet/consetetur/sadipscing\n".repeat(9).as_bytes()),
            []
        );
    }
}
