//! Names that some file system takes for `.git` or for a file that git reads: HFS+ ignores code points and case, NTFS
//! ignores case, trailing dots and spaces, and streams, and has short names.

use bstr::ByteSlice;

/// Whether any of these file systems, or Windows after a backslash, takes the name for `.git`.
pub(super) fn is_dotgit(name: &[u8]) -> bool {
    is_hfs(name, b"git") || name.split(|byte| *byte == b'\\').any(is_ntfs_dotgit)
}

/// Whether it stands for the dot file `file` (without its dot), whose hashed NTFS short name begins with `short`.
pub(super) fn is_special(name: &[u8], file: &[u8], short: &[u8; 6]) -> bool {
    is_hfs(name, file) || name.split(|byte| *byte == b'\\').any(|part| is_ntfs(part, file, short))
}

fn is_hfs(name: &[u8], file: &[u8]) -> bool {
    // Malformed UTF-8 ends a name, as in git.
    let mut chars = name
        .char_indices()
        .take_while(|(start, end, c)| {
            *c != '\u{fffd}' || &name[*start..*end] == "\u{fffd}".as_bytes()
        })
        .map(|(_, _, c)| c)
        .filter(|c| !is_ignored_by_hfs(*c));
    let mut is_next = |expected: u8| chars.next().is_some_and(|c| fold(c) == char::from(expected));
    is_next(b'.') && file.iter().all(|byte| is_next(*byte)) && chars.next().is_none_or(|c| c == '/')
}

fn is_ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn fold(c: char) -> char {
    c.to_ascii_lowercase()
}

fn is_ntfs_dotgit(part: &[u8]) -> bool {
    let rest = strip_prefix_no_case(part, b".git").or(strip_prefix_no_case(part, b"git~1"));
    rest.is_some_and(is_ignored_by_ntfs)
}

fn is_ntfs(part: &[u8], file: &[u8], short: &[u8; 6]) -> bool {
    let dotted = part.strip_prefix(b".").and_then(|part| strip_prefix_no_case(part, file));
    if dotted.is_some_and(is_ignored_by_ntfs) {
        return true;
    }
    let numbered = strip_prefix_no_case(part, &file[..6]);
    if let Some([b'~', b'1'..=b'4', rest @ ..]) = numbered {
        return is_ignored_by_ntfs(rest);
    }
    is_hashed(part, short)
}

/// A short name of eight bytes: the beginning of `short`, a tilde, and a number.
fn is_hashed(part: &[u8], short: &[u8; 6]) -> bool {
    let Some((head, rest)) = part.split_at_checked(8) else { return false };
    let Some(tilde) = head.find_byte(b'~') else { return false };
    let (name, number) = (&head[..tilde], &head[tilde + 1..]);
    tilde <= 6
        && name.eq_ignore_ascii_case(&short[..tilde])
        && matches!(number.first(), Some(b'1'..=b'9'))
        && number.iter().all(u8::is_ascii_digit)
        && is_ignored_by_ntfs(rest)
}

/// What may follow a name without making it another: dots and spaces, and then a stream's name or nothing.
fn is_ignored_by_ntfs(rest: &[u8]) -> bool {
    let rest = rest.trim_start_with(|c| c == '.' || c == ' ');
    matches!(rest.first(), None | Some(b':' | b'/' | b'\\'))
}

fn strip_prefix_no_case<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_all_faces_of_dotgit() {
        for name in [
            ".git",
            ".GIT",
            ".gIt",
            ".git.",
            ".git ",
            ".git . .",
            "git~1",
            "GIT~1",
            "git~1.",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git\u{206f}",
            "a\\.git",
            "a\\git~1\\b",
        ] {
            assert!(is_dotgit(name.as_bytes()), "{name:?}");
        }
        assert!(is_dotgit(b".git\xff"));
        for name in [
            ".gitx",
            "git",
            ".gi",
            ".git~1",
            "git~2",
            ".github",
            ".g\u{e9}it",
            ".gitignore",
            "x.git",
        ] {
            assert!(!is_dotgit(name.as_bytes()), "{name:?}");
        }
        assert!(!is_dotgit(b".gi\xff"));
    }

    #[test]
    fn knows_all_faces_of_gitmodules() {
        for name in [
            ".gitmodules",
            ".GITMODULES",
            ".gitmodules ",
            ".gitmodules.",
            "gitmod~1",
            "GITMOD~4",
            "gi7eba~1",
            "GI7EB~10",
            "GI7E~123",
            ".gitmod\u{200d}ules",
            ".gitmodules:$DATA",
            "x\\.gitmodules",
        ] {
            assert!(is_special(name.as_bytes(), b"gitmodules", b"gi7eba"), "{name:?}");
        }
        for name in [
            "gitmodules",
            "gitmod~5",
            "gi7eba~0",
            "gi7ebax1",
            ".gitmodules2",
            "gi7eba~",
            ".gitattributes",
        ] {
            assert!(!is_special(name.as_bytes(), b"gitmodules", b"gi7eba"), "{name:?}");
        }
    }
}
