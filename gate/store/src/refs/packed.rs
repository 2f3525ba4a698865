//! The `packed-refs` file: every ref of the mirror, sorted and peeled (git-pack-refs(1)).

use bstr::{BString, ByteSlice};
use proto::{ObjectFormat, ObjectId, RefName};
use std::io::{self, Write};

use super::{RefTable, RefTableError};

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PackedRefsError {
    #[error("line {number} is not a ref: '{}'", .line.escape_ascii())]
    Line { number: usize, line: BString },
    #[error(transparent)]
    Table(#[from] RefTableError),
}

/// All tags carry their peeled value, and the lines are sorted: readers may rely on both.
const HEADER: &[u8] = b"# pack-refs with: peeled fully-peeled sorted \n";

/// Writes the table as git itself would.
pub(crate) fn write(table: &RefTable, out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEADER)?;
    for entry in table.iter() {
        write!(out, "{} ", entry.target)?;
        out.write_all(entry.name)?;
        out.write_all(b"\n")?;
        if let Some(peeled) = entry.peeled {
            writeln!(out, "^{peeled}")?;
        }
    }
    Ok(())
}

/// Reads the file; a last line without its newline is an error, since it may have been cut.
pub(crate) fn parse(bytes: &[u8], format: ObjectFormat) -> Result<RefTable, PackedRefsError> {
    let mut builder = RefTable::builder(format);
    let mut pending: Option<(RefName, ObjectId)> = None;
    for (number, line) in (1..).zip(bytes.lines_with_terminator()) {
        let bad = || PackedRefsError::Line { number, line: line.into() };
        let text = line.strip_suffix(b"\n").ok_or_else(bad)?;
        if text.starts_with(b"#") {
            continue;
        }
        if let Some(hex) = text.strip_prefix(b"^") {
            let peeled = ObjectId::from_hex(hex).ok_or_else(bad)?;
            let (name, target) = pending.take().ok_or_else(bad)?;
            builder.push(&name, target, Some(peeled))?;
            continue;
        }
        if let Some((name, target)) = pending.take() {
            builder.push(&name, target, None)?;
        }
        let (hex, name) = text.split_once_str(b" ").ok_or_else(bad)?;
        let target = ObjectId::from_hex(hex).ok_or_else(bad)?;
        let name = RefName::parse(name).map_err(|_| bad())?;
        pending = Some((name, target));
    }
    if let Some((name, target)) = pending {
        builder.push(&name, target, None)?;
    }
    Ok(builder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# pack-refs with: peeled fully-peeled sorted \n\
        1111111111111111111111111111111111111111 refs/heads/main\n\
        2222222222222222222222222222222222222222 refs/tags/v1\n\
        ^3333333333333333333333333333333333333333\n\
        4444444444444444444444444444444444444444 refs/tags/v2\n";

    #[test]
    fn writes_what_it_reads() {
        let table = parse(FILE.as_bytes(), ObjectFormat::Sha1).unwrap();
        assert_eq!(table.len(), 3);
        let mut out = Vec::new();
        write(&table, &mut out).unwrap();
        assert_eq!(out.as_bstr(), FILE);
    }

    #[test]
    fn refuses_files_that_are_cut_or_foreign() {
        for at in 1..FILE.len() {
            let cut = &FILE[..at];
            let read = parse(cut.as_bytes(), ObjectFormat::Sha1);
            assert_eq!(read.is_ok(), cut.ends_with('\n'), "{cut:?}");
        }
        for bad in ["^3333333333333333333333333333333333333333\n", "x refs/a\n", "\n"] {
            assert!(parse(bad.as_bytes(), ObjectFormat::Sha1).is_err(), "{bad:?}");
        }
        assert!(parse(FILE.as_bytes(), ObjectFormat::Sha256).is_err());
    }
}
