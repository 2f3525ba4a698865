//! Cuts text into segments a scanner can take one by one, without losing what lies across a cut.

mod words;

use std::ops::Range;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memrchr};
use regex::bytes::Regex;

use super::text::sanitize;

/// A segment's usual length. One hunk of 100 MB keeps gitleaks busy for minutes; at this size its cost is linear.
const SEGMENT: usize = 32 * 1024;
/// How much of a segment the next one repeats, so that no token is seen in halves only.
const OVERLAP: usize = 8 * 1024;
/// How far a segment is stretched so as not to cut a word: a JWT with many claims, or base64, which can't be read from its
/// middle. What is longer than three quarters of this may be cut.
const LONGEST_WORD: usize = 2 * SEGMENT;
/// How far a segment is stretched so as not to cut a private key; RSA-16384 takes 13 KB in PEM. Of a longer one, such as a
/// PGP key with pictures or one that is padded, a segment is made of its beginning and its end.
const LONGEST_KEY: usize = 64 * 1024;
/// How much of a longer key's beginning, and of the line in which it ends, is shown.
const KEY_ENDS: usize = 1024;
/// What gitleaks' rule `private-key` wants between the two lines of a key.
const SHORTEST_KEY: usize = 64;

/// Takes bytes in pieces of any size and hands out segments: valid UTF-8 without NUL, each with the number of its first
/// line (from 1).
#[derive(Debug)]
pub(super) struct Cutter {
    text: Vec<u8>,
    /// How much of `text` has been made clean.
    clean: usize,
    /// How much of `text` was part of the segment before.
    seen: usize,
    line: u64,
    /// A private key that began in a segment before: its line and its beginning.
    key: Option<(u64, Vec<u8>)>,
}

impl Cutter {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), clean: 0, seen: 0, line: 1, key: None }
    }

    /// Takes the next bytes and emits the segments that are full.
    pub(super) fn push(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(u64, &[u8])) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(SEGMENT));
            bytes = rest;
            self.text.extend_from_slice(now);
            self.clean = sanitize(&mut self.text, self.clean, false);
            while let Some(cut) = self.full() {
                self.emit(cut, emit);
            }
        }
    }

    /// Emits what is left.
    pub(super) fn finish(mut self, emit: &mut dyn FnMut(u64, &[u8])) {
        self.clean = sanitize(&mut self.text, self.clean, true);
        while self.clean > 2 * SEGMENT {
            let cut = self.cut();
            self.emit(cut, emit);
        }
        if self.clean > self.seen {
            emit(self.line, &self.text);
            self.end_key(self.text.len(), emit);
        }
    }

    /// Where to cut, once there is text enough to tell.
    fn full(&self) -> Option<usize> {
        (self.clean > 2 * SEGMENT).then(|| {
            let cut = self.cut();
            let waits = self.open_key(cut).is_some_and(|key| self.clean < key.start + LONGEST_KEY);
            (!waits).then_some(cut)
        })?
    }

    fn cut(&self) -> usize {
        let cut = match memrchr(b'\n', &self.text[2 * OVERLAP..SEGMENT]) {
            Some(newline) => 2 * OVERLAP + newline + 1,
            None => {
                words::between(&self.text[..self.clean.min(LONGEST_WORD)], 2 * OVERLAP..SEGMENT)
                    .unwrap_or_else(|| boundary(&self.text, SEGMENT))
            }
        };
        let Some(key) = self.open_key(cut) else { return cut };
        let within = key.end + SHORTEST_KEY..self.clean.min(key.start + LONGEST_KEY);
        match self.text.get(within.clone()).and_then(|rest| KEY_END.find(rest)) {
            Some(end) => {
                let end = within.start + end.end();
                let line = memchr(b'\n', &self.text[end..self.clean.min(end + OVERLAP)]);
                (end + line.map_or(0, |newline| newline + 1)).max(cut)
            }
            None => cut,
        }
    }

    /// The first line of a private key that has begun before `cut` and not ended.
    fn open_key(&self, cut: usize) -> Option<Range<usize>> {
        let text = &self.text[..cut];
        let begin = KEY_BEGIN.find_iter(text).last()?.range();
        let body = text.get(begin.end + SHORTEST_KEY..).unwrap_or_default();
        (!KEY_END.is_match(body)).then_some(begin)
    }

    /// Emits the beginning and the end of a key that ends before `cut` and began in a segment before.
    fn end_key(&mut self, cut: usize, emit: &mut dyn FnMut(u64, &[u8])) {
        let Some((line, begin)) = &self.key else { return };
        // Its first line may be repeated here.
        let repeated = KEY_BEGIN.find_iter(&self.text[..self.seen.min(cut)]).last();
        let start = repeated.map_or(0, |begin| cut.min(begin.end() + SHORTEST_KEY));
        let Some(end) = KEY_END.find_at(&self.text[..cut], start) else { return };
        let from = end.start().saturating_sub(KEY_ENDS);
        let from = memrchr(b'\n', &self.text[from..end.start()])
            .map_or_else(|| boundary(&self.text, from), |newline| from + newline + 1);
        emit(*line, &[begin, &b"\n"[..], &self.text[from..end.end()]].concat());
        self.key = None;
    }

    fn emit(&mut self, cut: usize, emit: &mut dyn FnMut(u64, &[u8])) {
        emit(self.line, &self.text[..cut]);
        self.end_key(cut, emit);
        if let Some(begin) = self.open_key(cut)
            && self.key.is_none()
        {
            let line = memchr_iter(b'\n', &self.text[..begin.start]).count() as u64;
            let end = boundary(&self.text, cut.min(begin.end + KEY_ENDS));
            self.key = Some((self.line + line, self.text[begin.start..end].to_vec()));
        }
        let from = cut - OVERLAP;
        let next = match memchr(b'\n', &self.text[from..cut - 1]) {
            Some(newline) => from + newline + 1,
            None => boundary(&self.text, from),
        };
        self.line += memchr_iter(b'\n', &self.text[..next]).count() as u64;
        self.text.drain(..next);
        self.clean -= next;
        self.seen = cut - next;
    }
}

/// The last start of a character at or before `at`, in clean text.
fn boundary(text: &[u8], at: usize) -> usize {
    (0..=at)
        .rev()
        .take(4)
        .find(|&i| text.get(i).is_none_or(|byte| byte & 0xc0 != 0x80))
        .unwrap_or(at)
}

static KEY_BEGIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----")
        .expect("it is constant")
});
static KEY_END: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?i)KEY(?: BLOCK)?-----").expect("it is constant"));

#[cfg(test)]
mod tests {
    use super::*;

    /// The segments of `input`, fed in pieces of `piece` bytes.
    fn cut(input: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
        let mut segments = Vec::new();
        let mut emit = |line, text: &[u8]| segments.push((line, text.to_vec()));
        let mut cutter = Cutter::new();
        for piece in input.chunks(piece) {
            cutter.push(piece, &mut emit);
        }
        cutter.finish(&mut emit);
        segments
    }

    /// Each segment must stand in the input at the line it claims, and all of them must cover it.
    fn check(input: &[u8]) {
        let segments = cut(input, 1000);
        let mut covered = 0;
        for (line, text) in &segments {
            assert!(std::str::from_utf8(text).is_ok());
            let at = memchr::memmem::find_iter(input, text).find(|&at| {
                memchr_iter(b'\n', &input[..at]).count() as u64 + 1 == *line && at <= covered
            });
            let at = at.expect("a segment is a piece of the input at its line");
            covered = covered.max(at + text.len());
        }
        assert_eq!(covered, input.len());
        for piece in [1, 77, 1 << 20] {
            assert_eq!(cut(input, piece), segments, "pieces of {piece}");
        }
    }

    #[test]
    fn little_text_is_one_segment() {
        assert_eq!(cut(b"a\nb", 1), [(1, b"a\nb".to_vec())]);
        assert_eq!(cut(b"", 1), []);
    }

    #[test]
    fn segments_cover_the_text_with_true_line_numbers() {
        check(lines(9000).as_bytes());
        check(lines(9000).trim_end().as_bytes());
    }

    fn lines(number: usize) -> String {
        (0..number).map(|i| format!("line {i} of a text that goes on\n")).collect()
    }

    #[test]
    fn one_long_line_is_cut_within() {
        let line: String = (0..30_000).map(|i| format!("{i:06},")).collect();
        check(line.as_bytes());
        let wide: String = (0..30_000).map(|i| format!("é{i:06}")).collect();
        check(wide.as_bytes());
    }

    #[test]
    fn whatever_is_short_stands_whole_in_some_segment() {
        let text: String =
            (0..20_000).map(|i| format!("{i:07}{}", if i % 9 == 0 { '\n' } else { ' ' })).collect();
        let segments = cut(text.as_bytes(), 4096);
        for at in (0..text.len() - 4000).step_by(997) {
            let piece = &text.as_bytes()[at..at + 4000];
            assert!(
                segments.iter().any(|(_, s)| memchr::memmem::find(s, piece).is_some()),
                "at {at}"
            );
        }
    }

    #[test]
    fn a_word_stands_whole_in_some_segment() {
        for length in [100, 9_000, 20_000, 48_000] {
            let word = "0123456789-abcde".repeat(length / 16);
            for before in (0..70_000).step_by(1_711) {
                let text = format!("{}{word},{}", "x;".repeat(before / 2), "y;".repeat(50_000));
                let whole = |text: &[u8]| memchr::memmem::find(text, word.as_bytes()).is_some();
                let segments = cut(text.as_bytes(), 5000);
                assert!(segments.iter().any(|(_, text)| whole(text)), "{length} behind {before}");
                assert!(segments.iter().all(|(_, text)| text.len() <= LONGEST_WORD));
            }
        }
    }

    #[test]
    fn an_open_private_key_is_never_cut() {
        let key = format!(
            "-----BEGIN RSA PRIVATE {}-----\n{}-----END RSA PRIVATE {}-----\n",
            "KEY",
            "0123456789abcdef".repeat(4).add_newlines(400),
            "KEY"
        );
        for before in (0..40_000).step_by(3001) {
            let text = format!("{}{key}{}", "x\n".repeat(before / 2), "y\n".repeat(50_000));
            let segments = cut(text.as_bytes(), 5000);
            assert!(
                segments.iter().any(|(_, s)| memchr::memmem::find(s, key.as_bytes()).is_some()),
                "{before} bytes before it"
            );
        }
    }

    #[test]
    fn the_ends_of_a_key_that_is_too_long_stand_in_a_segment_of_their_own() {
        for lines in [1_100, 1_500, 30_000] {
            let (begin, end) = ("-----BEGIN PGP PRIVATE", "KEY BLOCK-----\n");
            let body = "0123456789abcdef".repeat(4).add_newlines(lines);
            let key = format!("{begin} {end}{body}-----END PGP PRIVATE {end}");
            let text = format!("{}{key}{}", "x\n".repeat(10_000), "y\n".repeat(50_000));
            for after in [0, 100, 50_000] {
                let text = &text[..text.len() - 2 * 50_000 + 2 * after];
                let segments = cut(text.as_bytes(), 5000);
                let whole = |text: &[u8]| {
                    let begin = KEY_BEGIN.find(text);
                    begin.is_some_and(|begin| KEY_END.is_match(&text[begin.end() + SHORTEST_KEY..]))
                };
                let found: Vec<_> =
                    segments.iter().filter(|(_, text)| whole(text)).map(|(line, _)| line).collect();
                assert_eq!(found, [&10_001], "{lines} lines, {after} after");
                assert!(segments.iter().all(|(_, text)| std::str::from_utf8(text).is_ok()));
            }
        }
    }

    #[test]
    fn a_key_that_never_ends_holds_nothing_up_and_is_none() {
        for before in [0, 400, 800, 1000, 1200] {
            let text =
                format!("{}-----BEGIN PRIVATE {}-----\n{}", lines(before), "KEY", lines(40_000));
            check(text.as_bytes());
        }
    }

    trait AddNewlines {
        fn add_newlines(&self, times: usize) -> String;
    }

    impl AddNewlines for String {
        fn add_newlines(&self, times: usize) -> String {
            format!("{self}\n").repeat(times)
        }
    }
}
