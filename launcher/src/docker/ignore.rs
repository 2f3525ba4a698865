//! `.dockerignore`: what of a folder is not sent to be built with, by Docker's own rules.

use std::path::Path;

/// The patterns of one file, in their order: the last that matches decides.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    /// `!`: what matches is sent after all.
    keeps: bool,
    text: Vec<char>,
}

impl Ignore {
    pub(super) fn parse(file: &str) -> Self {
        let lines = file.trim_start_matches('\u{feff}').lines().map(str::trim);
        let patterns = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .filter_map(|line| {
                let (keeps, line) = match line.strip_prefix('!') {
                    Some(rest) => (true, rest.trim()),
                    None => (false, line),
                };
                let text = clean(line)?.chars().collect();
                Some(Pattern { keeps, text })
            })
            .collect();
        Self { patterns }
    }

    /// Whether the path, relative to the folder, is left out.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let mut out = false;
        for pattern in &self.patterns {
            if pattern.keeps == out && pattern.covers(&path) {
                out = !pattern.keeps;
            }
        }
        out
    }

    /// Whether something below a folder that is left out may be sent after all.
    pub(super) fn keeps_any(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.keeps)
    }
}

impl Pattern {
    /// Matches the path itself, or a folder it lies in.
    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| path[..end].chars().collect::<Vec<_>>())
            .any(|part| matches(&self.text, &part))
    }
}

/// As Go's `filepath.Clean`, without a slash before it; `None` is a pattern of nothing.
fn clean(written: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// `*` and `?` stay within a name, `**` passes over any number of folders, `[a-z]` is a class, `\` escapes.
fn matches(pattern: &[char], path: &[char]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*', rest @ ..] => {
            let rest = rest.strip_prefix(&['/']).unwrap_or(rest);
            rest.is_empty()
                || matches(rest, path)
                || (0..path.len()).any(|at| path[at] == '/' && matches(rest, &path[at + 1..]))
        }
        ['*', rest @ ..] => {
            let name = path.iter().position(|c| *c == '/').unwrap_or(path.len());
            (0..=name).any(|at| matches(rest, &path[at..]))
        }
        ['?', rest @ ..] => matches!(path, [c, left @ ..] if *c != '/' && matches(rest, left)),
        ['[', rest @ ..] => match (class(rest), path) {
            (Some((class, rest)), [c, left @ ..]) => class.holds(*c) && matches(rest, left),
            (Some(_), []) | (None, _) => false,
        },
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            matches!(path, [c, left @ ..] if c == literal && matches(rest, left))
        }
    }
}

struct Class<'p> {
    not: bool,
    body: &'p [char],
}

/// The class that begins behind its bracket, and what follows it.
fn class(pattern: &[char]) -> Option<(Class<'_>, &[char])> {
    let (not, body) = match pattern {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let end = (1..body.len()).find(|at| body[*at] == ']' && body[at - 1] != '\\')?;
    Some((Class { not, body: &body[..end] }, &body[end + 1..]))
}

impl Class<'_> {
    fn holds(&self, c: char) -> bool {
        let mut body = self.body;
        let mut found = false;
        while let Some((from, to, rest)) = match body {
            ['\\', one, rest @ ..] => Some((*one, *one, rest)),
            [from, '-', to, rest @ ..] => Some((*from, *to, rest)),
            [one, rest @ ..] => Some((*one, *one, rest)),
            [] => None,
        } {
            found |= (from..=to).contains(&c);
            body = rest;
        }
        found != self.not && c != '/'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let ignore = Ignore::parse("# all but src\n*\n!src\n  src/*.tmp  \n!/src/./keep.tmp\n");
        for (path, out) in [
            ("a", true),
            ("a/b", true),
            ("src", false),
            ("src/x/y.rs", false),
            ("src/b.tmp", true),
            ("src/keep.tmp", false),
        ] {
            assert_eq!(ignore.leaves_out(Path::new(path)), out, "{path}");
        }
        assert!(ignore.keeps_any() && !Ignore::parse("a").keeps_any());
        assert!(!Ignore::parse("").leaves_out(Path::new("a")));
    }

    #[test]
    fn each_sign_means_what_docker_means() {
        for (pattern, path, out) in [
            ("**/node_modules", "node_modules", true),
            ("**/node_modules", "a/b/node_modules/c", true),
            ("**/node_modules", "a/xnode_modules", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**", "a/b", true),
            ("*.log", "x.log", true),
            ("*.log", "a/x.log", false),
            ("*/*.log", "a/x.log", true),
            ("?.c", "a.c", true),
            ("?.c", "ab.c", false),
            ("a?b", "a/b", false),
            ("[a-c].o", "b.o", true),
            ("[^a-c].o", "b.o", false),
            ("[^a-c].o", "d.o", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a.b", "axb", false),
            ("[a", "[a", false),
            ("dir/", "dir/x", true),
            ("../x", "x", false),
            ("ä*", "äöü", true),
        ] {
            assert_eq!(Ignore::parse(pattern).leaves_out(Path::new(path)), out, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let ignore = Ignore::parse("**/*a*b*c*d");
        assert!(!ignore.leaves_out(Path::new(&"abc/".repeat(60))));
    }
}
