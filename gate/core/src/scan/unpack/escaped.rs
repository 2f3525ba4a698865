//! Bytes spelled one by one, as programs spell them: `\x67\x68`, `0x67, 0x68`.

use std::sync::LazyLock;

use memchr::memchr_iter;
use regex::bytes::Regex;

use super::encoded::is_worth_showing;

static RUN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i-u)(?:\\x[0-9a-f]{2}){16,}|(?:0x[0-9a-f]{2}[,;\s]{0,80}){16,}")
        .expect("it is constant")
});

/// Shows what is spelled so and is text or an archive, and the line (from 1) where it begins.
pub(super) fn decode(text: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
    let (mut line, mut counted) = (1, 0);
    for run in RUN.find_iter(text) {
        line += memchr_iter(b'\n', &text[counted..run.start()]).count() as u64;
        counted = run.start();
        let digit = |letter: u8| char::from(letter).to_digit(16).map(|digit| digit as u8);
        let bytes: Option<Vec<u8>> = run
            .as_bytes()
            .split_inclusive(|byte| matches!(byte, b'x' | b'X'))
            .skip(1)
            .map(|byte| Some(digit(*byte.first()?)? << 4 | digit(*byte.get(1)?)?))
            .collect();
        if let Some(bytes) = bytes.filter(|bytes| is_worth_showing(bytes, false)) {
            each(line, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::ByteSlice;

    #[test]
    fn strings_and_lists_of_bytes_are_read() {
        let text = b"some words, long enough";
        let string: String = text.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let lines = text.chunks(8).map(|line| {
            line.iter().map(|byte| format!("0x{byte:02X}")).collect::<Vec<_>>().join(", ")
        });
        let list = lines.collect::<Vec<_>>().join(",\n    ");
        for spelled in [string, list] {
            let mut all = Vec::new();
            let source = format!("// a\nx = {{{spelled}}}\n");
            decode(source.as_bytes(), &mut |line, bytes| {
                all.push((line, bytes.as_bstr().to_owned()));
            });
            assert_eq!(all, [(2, text.as_bstr().to_owned())], "{source}");
        }
    }

    #[test]
    fn numbers_are_left_out() {
        let list = "0x01, 0x80, 0xff, 0x13, 0x07, ".repeat(20);
        decode(list.as_bytes(), &mut |_, _| panic!("shown"));
    }
}
