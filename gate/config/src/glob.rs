//! Patterns with `*`, for refs, paths and addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern in which each `*` stands for any bytes, slashes and none at all included; everything else is itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits; costs at most the product of both lengths.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut t) = (0, 0);
        let mut star = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(byte) if *byte == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((star_p, star_t)) = star else { return false };
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_slashes_too() {
        for (pattern, text, fits) in [
            ("refs/heads/*", "refs/heads/a/b", true),
            ("refs/heads/*", "refs/heads", false),
            ("*", "", true),
            ("*.yml", ".github/workflows/ci.yml", true),
            ("*.yml", "ci.yml.txt", false),
            ("a*b*c", "a__b__b_c", true),
            ("a*b*c", "a__c__b", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text.as_bytes()), fits, "{pattern} on {text}");
        }
    }
}
