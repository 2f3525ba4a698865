//! Names of files and refs as the rules can read them.

use bstr::{BStr, ByteSlice};

/// A shorter run of letters, digits and their like is no token.
const SHORTEST: usize = 12;
/// A run of nothing but small letters is a word, unless it is this long: Hugging Face's tokens have 34.
const LONGEST_WORD: usize = 23;
/// How many parts with dots between them a token has at most.
const PARTS: usize = 4;

/// A name as it is; then with its parts apart, and with what stands between dots apart too: most rules want white space
/// after a token. Some tokens have dots themselves and may have an ending or two behind them: of what has several dots,
/// every few parts follow, each on a line of its own.
pub(super) fn spell(name: &BStr) -> Vec<u8> {
    let mut text = name.to_vec();
    for between in [&b"/"[..], b"/.@"] {
        text.push(b'\n');
        text.extend(name.iter().map(|b| if between.contains(b) { b' ' } else { *b }));
    }
    for piece in name.split(|byte| b"/@".contains(byte)) {
        let dots: Vec<usize> = piece.find_iter(".").chain([piece.len()]).collect();
        if dots.len() < 3 || !may_hold_a_secret(piece.into()) {
            continue;
        }
        for (part, end) in dots.iter().enumerate() {
            let from = part.checked_sub(PARTS).map_or(0, |before| dots[before] + 1);
            text.push(b'\n');
            text.extend_from_slice(&piece[from..*end]);
        }
    }
    text
}

/// Whether a name can hold a token at all: most paths can't, and a scan of each would cost more than the files.
pub(super) fn may_hold_a_secret(name: &BStr) -> bool {
    let is_letter =
        |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' | b'+' | b'=');
    name.split(|byte| !is_letter(*byte)).filter(|run| run.len() >= SHORTEST).any(|run| {
        run.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            || run.split(|byte| !byte.is_ascii_lowercase()).any(|word| word.len() > LONGEST_WORD)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_so_that_each_token_has_an_end() {
        insta::assert_snapshot!(spell("KEYS/a@SG.0123456789abcdef.y.tar.gz".into()).to_str_lossy(), @r"
        KEYS/a@SG.0123456789abcdef.y.tar.gz
        KEYS a@SG.0123456789abcdef.y.tar.gz
        KEYS a SG 0123456789abcdef y tar gz
        SG
        SG.0123456789abcdef
        SG.0123456789abcdef.y
        SG.0123456789abcdef.y.tar
        0123456789abcdef.y.tar.gz
        ");
        let plain = bstr::BString::from(spell("src/a.b.c.d/SHA256SUMS-1.txt".into()));
        assert_eq!(plain.lines().count(), 3, "{plain}");
    }

    #[test]
    fn only_names_that_could_be_tokens_are_scanned() {
        for name in ["src/main.rs", "documentation/internationalization.md", "a/b/c/d/e/f/1/2/3"] {
            assert!(!may_hold_a_secret(name.into()), "{name}");
        }
        let small = format!("a/hf_{}.txt", "abcdefghij".repeat(4));
        for name in ["keys/AKIAQQQQQQQQQQQQQQQQ", "a/xy_0123456789abcdef.txt", &small] {
            assert!(may_hold_a_secret(name.into()), "{name}");
        }
    }
}
