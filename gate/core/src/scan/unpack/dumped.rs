//! Dumps in hex, as `xxd`, `hexdump -C`, `od -tx1` and `tcpdump -X` print them: an offset, bytes, and perhaps their text.

use std::sync::LazyLock;

use bstr::ByteSlice;
use regex::bytes::Regex;

static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i-u)^[ \t]*(?:0x)?[0-9a-f]{4,16}:?[ \t]+",
        r"((?:[0-9a-f]{2}){1,4}(?:[ \t]{1,2}(?:[0-9a-f]{2}){1,4}){0,31})(?:[ \t]*$|[ \t]{2}|[ \t]+\|)",
    ))
    .expect("it is constant")
});
/// What is shorter holds no secret.
const SHORTEST: usize = 16;

/// Shows what is dumped in two lines or more, and the line (from 1) where it begins.
pub(super) fn decode(text: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
    let (mut first, mut lines, mut bytes) = (0, 0, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let dumped = LINE.captures(line).and_then(|found| found.get(1));
        if let Some(dumped) = dumped {
            if lines == 0 {
                first = number as u64 + 1;
            }
            lines += 1;
            bytes.extend(read(dumped.as_bytes()));
        } else if lines > 0 {
            show(first, lines, &bytes, each);
            lines = 0;
            bytes.clear();
        }
    }
    show(first, lines, &bytes, each);
}

fn show(first: u64, lines: usize, bytes: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
    if lines > 1 && bytes.len() >= SHORTEST {
        each(first, bytes);
    }
}

fn read(dumped: &[u8]) -> Vec<u8> {
    let digits = dumped.iter().filter_map(|byte| char::from(*byte).to_digit(16));
    let digits: Vec<u8> = digits.map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|two| two[0] << 4 | two[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        decode(text.as_bytes(), &mut |line, bytes| {
            all.push((line, bytes.to_str_lossy().into_owned()));
        });
        all
    }

    #[test]
    fn a_dump_is_read_whoever_made_it() {
        for dump in [
            "00000000: 7365 6372 6574 3d61 6263 2061 6263 2064  secret=abc abc d\n00000010: 6566 0a                                  ef.\n",
            "00000000  73 65 63 72 65 74 3d 61  62 63 20 61 62 63 20 64  |secret=abc abc d|\n00000010  65 66 0a              |ef.|\n",
            "0000000 73 65 63 72 65 74 3d 61 62 63 20 61 62 63 20 64\n0000020 65 66 0a\n0000023\n",
            "\t0x0000:  7365 6372 6574 3d61 6263 2061 6263 2064  secret=abc.abc.d\r\n\t0x0010:  6566 0a                                  ef.\r\n",
        ] {
            let text = format!("$ dump\n{dump}$\n");
            assert_eq!(decoded(&text), [(2, "secret=abc abc def\n".to_owned())], "{dump}");
        }
    }

    #[test]
    fn other_text_is_no_dump() {
        for text in ["2024 10 20\n2025 10 20\n", "some words\n", "deadbeef cafe\nfeedface  x y\n"] {
            assert_eq!(decoded(text), [], "{text}");
        }
    }
}
