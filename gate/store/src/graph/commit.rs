//! The few lines of commits and tags that walks need; the rest is never looked at.

use crate::Kind;
use bstr::ByteSlice;
use proto::{ObjectFormat, ObjectId};

/// A commit or tag whose headers cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed object: no valid '{field}' line")]
pub struct InvalidObject {
    pub field: &'static str,
}

/// What a walk needs of a commit.
#[derive(Debug)]
pub(crate) struct CommitSays<'a> {
    pub(crate) tree: ObjectId,
    /// Committer date in seconds since 1970; 0 where git cannot read it either.
    pub(crate) date: u64,
    parents: &'a [u8],
    hex_len: usize,
}

impl CommitSays<'_> {
    pub(crate) fn parents(&self) -> impl Iterator<Item = ObjectId> {
        let line = b"parent ".len() + self.hex_len + 1;
        let hex = move |line: &[u8]| ObjectId::from_hex(&line[b"parent ".len()..line.len() - 1]);
        self.parents.chunks_exact(line).filter_map(hex)
    }
}

/// Reads tree, parents and committer date of a raw commit (parse_commit_buffer in commit.c).
pub(crate) fn parse_commit(
    raw: &[u8],
    format: ObjectFormat,
) -> Result<CommitSays<'_>, InvalidObject> {
    let (tree, rest) = id_line(raw, b"tree ", format).ok_or(InvalidObject { field: "tree" })?;
    let mut after = rest;
    while after.starts_with(b"parent ") {
        let (_, rest) =
            id_line(after, b"parent ", format).ok_or(InvalidObject { field: "parent" })?;
        after = rest;
    }
    let parents = &rest[..rest.len() - after.len()];
    Ok(CommitSays { tree, date: committer_date(after), parents, hex_len: format.hex_len() })
}

/// Reads what a raw tag object points to, and what it says that is.
pub(crate) fn tag_target(
    raw: &[u8],
    format: ObjectFormat,
) -> Result<(ObjectId, Kind), InvalidObject> {
    let (target, rest) =
        id_line(raw, b"object ", format).ok_or(InvalidObject { field: "object" })?;
    let kind = rest.strip_prefix(b"type ").and_then(|rest| {
        let end = rest.find_byte(b'\n')?;
        Kind::parse(&rest[..end])
    });
    Ok((target, kind.ok_or(InvalidObject { field: "type" })?))
}

fn id_line<'a>(raw: &'a [u8], word: &[u8], format: ObjectFormat) -> Option<(ObjectId, &'a [u8])> {
    let rest = raw.strip_prefix(word)?;
    let (hex, rest) = rest.split_at_checked(format.hex_len())?;
    Some((ObjectId::from_hex(hex)?, rest.strip_prefix(b"\n")?))
}

/// `parse_commit_date`: the number behind the last `>` of the committer line, 0 if there is none.
fn committer_date(headers: &[u8]) -> u64 {
    let date = || {
        let mut lines = headers.split(|b| *b == b'\n');
        lines.next()?.strip_prefix(b"author")?;
        let committer = lines.next()?.strip_prefix(b"committer")?;
        let tail = committer[committer.rfind_byte(b'>')? + 1..].trim_start();
        let digits = tail.iter().take_while(|b| b.is_ascii_digit());
        digits
            .copied()
            .try_fold(0_u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
    };
    date().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn reads_a_commit_with_any_number_of_parents() {
        for parents in [0, 1, 2, 9] {
            let lines = format!("parent {ID}\n").repeat(parents);
            let raw = format!(
                "tree {ID}\n{lines}author A <a> 1 +0\ncommitter B <b> x> 1234 +0100\ngpgsig x\n\nm"
            );
            let said = parse_commit(raw.as_bytes(), ObjectFormat::Sha1).unwrap();
            assert_eq!(said.tree.to_hex(), ID);
            assert_eq!(said.date, 1234);
            assert_eq!(said.parents().map(|p| p.to_hex()).collect::<Vec<_>>(), vec![ID; parents]);
        }
    }

    #[test]
    fn a_date_that_git_cannot_read_is_the_beginning_of_time() {
        for committer in ["committer B <b> -5 +0", "committer B <b>", "committer B", "x"] {
            let raw = format!("tree {ID}\nauthor A <a> 1 +0\n{committer}\n\n");
            assert_eq!(
                parse_commit(raw.as_bytes(), ObjectFormat::Sha1).unwrap().date,
                0,
                "{committer}"
            );
        }
    }

    #[test]
    fn refuses_headers_that_are_cut() {
        let raw = format!("tree {ID}\nparent {ID}\n");
        let tree_line = "tree \n".len() + 40;
        for end in (0..tree_line).chain(tree_line + "parent ".len()..raw.len()) {
            assert!(parse_commit(&raw.as_bytes()[..end], ObjectFormat::Sha1).is_err(), "{end}");
        }
        let tag = format!("object {ID}\ntype commit\n");
        assert_eq!(tag_target(tag.as_bytes(), ObjectFormat::Sha1).unwrap().1, Kind::Commit);
        for end in 0..tag.len() - 1 {
            assert!(tag_target(&tag.as_bytes()[..end], ObjectFormat::Sha1).is_err(), "{end}");
        }
    }
}
