//! What is wrong with a manifest: every place at once, each with its line, and what would be right.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the manifest it is about; none when it is about the whole.
    pub span: Option<Range<usize>>,
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Problem {
    pub fn at(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span: Some(span), message: message.into(), help: help.into() }
    }

    pub fn whole(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), help: help.into() }
    }
}

/// All that is wrong with one manifest, ready to be shown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.render())]
pub struct Problems {
    pub path: PathBuf,
    pub source_text: String,
    pub problems: Vec<Problem>,
}

impl Problems {
    /// Draws each problem below the line it stands on, in the order of the lines.
    fn render(&self) -> String {
        let mut sorted: Vec<&Problem> = self.problems.iter().collect();
        sorted.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        // Two upstreams at one host find fault with the same word.
        sorted.dedup_by(|a, b| a.span == b.span && a.message == b.message && a.help == b.help);
        let count = match sorted.len() {
            1 => "one problem".to_owned(),
            n => format!("{n} problems"),
        };
        let mut text = format!("{}: {count}", self.path.display());
        for problem in sorted {
            text.push_str("\n\n");
            self.render_one(problem, &mut text);
        }
        text
    }

    fn render_one(&self, problem: &Problem, text: &mut String) {
        let written = match &problem.span {
            None => writeln!(text, "{}", problem.message),
            Some(span) => {
                let place = Place::of(&self.source_text, span);
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(
                    text,
                    "line {number}: {}\n {margin} |\n {number} | {}\n {margin} | {}{}",
                    problem.message,
                    place.text,
                    " ".repeat(place.column),
                    "^".repeat(place.width),
                )
            }
        };
        written.expect("a String takes every write");
        text.push_str("  right would be: ");
        text.push_str(&problem.help);
    }
}

struct Place<'s> {
    line: usize,
    /// Characters before the mark.
    column: usize,
    width: usize,
    text: &'s str,
}

impl<'s> Place<'s> {
    fn of(source: &'s str, span: &Range<usize>) -> Self {
        let start = floor_boundary(source, span.start.min(source.len()));
        let end = floor_boundary(source, span.end.clamp(start, source.len()));
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
        let marked = &source[start..end.min(line_end).max(start)];
        Self {
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count(),
            width: marked.chars().count().max(1),
            text: source[line_start..line_end].trim_end(),
        }
    }
}

fn floor_boundary(source: &str, mut at: usize) -> usize {
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The known word nearest to what was written, if it is near enough to have been meant.
pub fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = written.chars().count().div_ceil(3).max(1);
    known
        .iter()
        .map(|word| (distance(written, word), *word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_bytes_meant_even_behind_wide_letters() {
        let problems = Problems {
            path: "x.toml".into(),
            source_text: "a = 1\nä = \"ö\" # c\n".into(),
            problems: vec![Problem::at(11..15, "no such key", "b")],
        };
        insta::assert_snapshot!(problems.to_string(), @r#"
        x.toml: one problem

        line 2: no such key
           |
         2 | ä = "ö" # c
           |     ^^^
          right would be: b
        "#);
    }

    #[test]
    fn says_the_same_once() {
        let problem = Problem::at(0..1, "no such key", "b");
        let problems = Problems {
            path: "x.toml".into(),
            source_text: "a = 1\n".into(),
            problems: vec![problem.clone(), problem.clone(), problem],
        };
        assert!(problems.to_string().starts_with("x.toml: one problem\n"), "{problems}");
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("comand", &["command", "context"]), Some("command"));
        assert_eq!(nearest("zzz", &["command", "context"]), None);
    }
}
