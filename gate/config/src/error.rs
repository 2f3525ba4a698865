//! How a wrong config file is shown: the line, a caret, what is wrong and what would be right.

use std::fmt;
use std::ops::Range;

/// A config file that cannot be used. Its text never shows a password, even one that stands in the file by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<Place>,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    width: usize,
    content: String,
}

impl ConfigError {
    pub(crate) fn new(text: &str, span: Option<Range<usize>>, message: &str) -> Self {
        let place = span.and_then(|span| Place::find(text, span));
        Self { place, message: without_passwords(message.trim_end()) }
    }

    /// The line it stands on, counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// What is wrong, in one line, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Place {
    fn find(text: &str, span: Range<usize>) -> Option<Self> {
        let before = text.get(..span.start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let content = text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let end = span.end.clamp(span.start, (line_start + content.len()).max(span.start));
        let width = text.get(span.start..end).map_or(1, |part| part.chars().count()).max(1);
        let line = before.matches('\n').count() + 1;
        Some(Self { line, column: column + 1, width, content: without_passwords(content) })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column, width, content }) = &self.place {
            let gutter = line.to_string().len();
            writeln!(f, "config line {line}, column {column}")?;
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{line} | {content}")?;
            writeln!(
                f,
                "{:gutter$} | {:indent$}{}",
                "",
                "",
                "^".repeat(*width),
                indent = column - 1
            )?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Puts a star for each character of `PASSWORD` in `scheme://user:PASSWORD@host`, so that carets still fit.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + "://".len());
        shown.push_str(head);
        let authority = &tail[..tail.find(['/', '"', '\'', ' ', '\t']).unwrap_or(tail.len())];
        rest = tail;
        let Some((user, host)) = authority.rsplit_once('@') else { continue };
        let Some((name, password)) = user.split_once(':') else { continue };
        shown.push_str(name);
        shown.push(':');
        shown.extend(password.chars().map(|_| '*'));
        rest = &tail[authority.len() - host.len() - 1..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_with_a_caret() {
        let error = ConfigError::new("a = 1\nbb = true\n", Some(11..15), "a number is wanted");
        let shown =
            "config line 2, column 6\n  |\n2 | bb = true\n  |      ^^^^\na number is wanted";
        assert_eq!(error.to_string(), shown);
    }

    #[test]
    fn a_place_at_the_end_of_the_text_is_still_shown() {
        let error = ConfigError::new("a =", Some(3..3), "a value is wanted");
        assert_eq!(
            error.to_string(),
            "config line 1, column 4\n  |\n1 | a =\n  |    ^\na value is wanted"
        );
    }

    #[test]
    fn never_shows_a_password() {
        for (text, shown) in [
            ("origin = \"https://me:s3c@ret@host/x\"", "origin = \"https://me:*******@host/x\""),
            ("https://me@host/x:y@z", "https://me@host/x:y@z"),
            ("a://b:c@d e://f:gg@h", "a://b:*@d e://f:**@h"),
            ("no url", "no url"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
