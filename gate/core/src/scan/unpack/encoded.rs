//! Base64 in text that the scanner does not decode by itself: wrapped into lines, too long for one segment, or of
//! UTF-16 or an archive.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bstr::ByteSlice;

use super::archive::Archive;
use crate::scan::text::{Utf16, reads_as_text};

/// Shorter runs hold no secret.
const SHORTEST: usize = 40;
/// A longer run lies in several segments, and the scanner decodes what begins in the middle of four letters wrongly.
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

/// Shows what is spelled in base64, and the line (from 1) where it begins. What decodes to no text and no archive is left
/// out, and so is what the scanner sees by itself.
pub(super) fn decode(text: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
    let mut block = Block::default();
    for (number, line) in text.lines().enumerate() {
        let number = number as u64 + 1;
        let letters = bare(line).trim_end_with(|c| c == '=');
        if letters.len() >= 4 && letters.iter().all(|byte| is_letter(*byte)) {
            block.take(number, letters, each);
            continue;
        }
        block.end(each);
        if line.len() >= SHORTEST {
            let runs = line.split(|byte| !is_letter(*byte)).filter(|run| run.len() >= SHORTEST);
            for run in runs.flat_map(|run| run.chunks(LONGEST)) {
                let mut alone = Block::default();
                alone.take(number, run, each);
                alone.end(each);
            }
        }
    }
    block.end(each);
}

/// What a line holds between quotes, or without the signs of a comment or a continuation around it.
fn bare(line: &[u8]) -> &[u8] {
    match (line.find_byteset(b"\"'"), line.rfind_byteset(b"\"'")) {
        (Some(open), Some(close)) if open < close => &line[open + 1..close],
        _ => line.trim_with(|c| c.is_ascii_whitespace() || ",;\\#*>|".contains(c)),
    }
}

/// Lines of one length, and a last one that may be shorter.
#[derive(Default)]
struct Block {
    first: u64,
    lines: usize,
    length: usize,
    letters: Vec<u8>,
}

impl Block {
    fn take(&mut self, number: u64, letters: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
        if self.lines > 0 && letters.len() > self.length {
            self.end(each);
        }
        if self.lines == 0 {
            (self.first, self.length) = (number, letters.len());
        }
        self.lines += 1;
        self.letters.extend(letters.iter().map(|letter| match letter {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        }));
        if letters.len() < self.length || self.letters.len() >= LONGEST {
            self.end(each);
        }
    }

    fn end(&mut self, each: &mut dyn FnMut(u64, &[u8])) {
        let Self { first, lines, mut letters, .. } = std::mem::take(self);
        if letters.len() < SHORTEST {
            return;
        }
        if letters.len() % 4 == 1 {
            letters.pop();
        }
        let Ok(decoded) = LENIENT.decode(&letters) else { return };
        let is_seen = lines == 1 && letters.len() < ONE_SEGMENT;
        let is_text = || Utf16::detect(&decoded).is_some() || !is_seen && reads_as_text(&decoded);
        if Archive::detect(&decoded, &decoded).is_some() || is_text() {
            each(first, &decoded);
        }
    }
}

const fn is_letter(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const TEXT: &[u8] = b"some words that are long enough to be wrapped into several lines of base64, and then some";

    fn decoded(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        decode(text, &mut |line, bytes| all.push((line, bytes.to_vec())));
        all
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
