//! Where a long line may be cut: behind what stands in no token.

use std::ops::Range;

/// The place to cut `text` at: behind the last end of a word within `usual`, or else behind the first one after it. `None` if
/// it is all one word.
pub(super) fn between(text: &[u8], usual: Range<usize>) -> Option<usize> {
    let last = text[usual.clone()].iter().rposition(ends_word).map(|at| usual.start + at);
    let next = || text[usual.end..].iter().position(ends_word).map(|at| usual.end + at);
    last.or_else(next).map(|at| at + 1)
}

/// Whether no rule takes this for a part of a token, be it encoded or not.
fn ends_word(byte: &u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && !br"_-+/=.\%~:|@".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_the_last_end_within_or_the_first_one_behind() {
        for (text, cut) in [
            ("a b c,dddd e", Some(6)),
            ("a bbb/bbb=bb e", Some(13)),
            ("a bbbbbbbb\"", Some(11)),
            ("a bbbbbbbbbbbb", None),
            ("é bébébébébébé", None),
        ] {
            assert_eq!(between(text.as_bytes(), 3..8), cut, "{text}");
        }
    }
}
