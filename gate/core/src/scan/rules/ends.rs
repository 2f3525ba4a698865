//! Where a token may begin and end.
//!
//! gitleaks' rules want white space, a quote or a semicolon behind a token, and no letter before it. So they pass over one in
//! an XML element, a list with commas, a link, a sentence, a string within a string of JSON, and a coloured log.

/// What most of the default rules end with.
const END: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;
/// Whatever is no part of a token, encoded or not; a dot if no name goes on behind it. A parenthesis is left out: it makes
/// a function's name of what stands before it.
const ANY_END: &str = r"(?:[^\w(+/=.~-]|\.(?:\W|$)|$)";
/// What the rules for tokens with a shape of their own begin with, perhaps behind `(?i)`.
const BEGIN: &str = r"\b(";
/// The same, or behind an escape that ends with a letter: of JSON and most languages, of a terminal, of quoted-printable.
const ANY_BEGIN: &str =
    r"(?:\b|\\[a-z]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\[[0-9;]{0,20}m|=[0-9A-F]{2})(";

/// The same pattern, with more places where a token may stand.
pub(super) fn widen(pattern: &str) -> String {
    let (flag, rest) = match pattern.strip_prefix("(?i)") {
        Some(rest) => ("(?i)", rest),
        None => ("", pattern),
    };
    let rest = match rest.strip_prefix(BEGIN) {
        Some(rest) => format!("{ANY_BEGIN}{rest}"),
        None => rest.to_owned(),
    };
    format!("{flag}{}", rest.replace(END, ANY_END))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_wherever_it_is_no_part_of_a_longer_word() {
        let pattern = widen(&[r"(?i)\b(tk_[a-z0-9]{4})", END].concat());
        let pattern = regex::Regex::new(&pattern).unwrap();
        let found = |text: &str| pattern.captures(text).map(|found| found[1].to_owned());
        for text in [
            "tk_ab12",
            "<a>tk_ab12</a>",
            "a,tk_ab12,b",
            "(tk_ab12)",
            "It is tk_ab12.",
            "?t=tk_ab12&b=c",
            r#"{\"t\":\"tk_ab12\"}"#,
            r"a\ntk_ab12\n",
            r"\u003etk_ab12\u003c",
            "\x1b[32mtk_ab12\x1b[0m",
            "a=3Dtk_ab12",
            "”tk_ab12”",
        ] {
            assert_eq!(found(text).as_deref(), Some("tk_ab12"), "{text}");
        }
        for text in [
            "tk_ab12()",
            "tk_ab12.png",
            "tk_ab123",
            "tk_ab12_",
            "tk_ab12/x",
            "xtk_ab12",
            "tk_ab12=",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn another_pattern_stays_as_it_is() {
        for pattern in ["ghp_[0-9a-zA-Z]{36}", r"(?i)x\b(y)", r"\bAKIA\b"] {
            assert_eq!(widen(pattern), pattern);
        }
    }
}
