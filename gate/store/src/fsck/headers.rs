//! Commits and tags.

use bstr::ByteSlice;
use proto::{ObjectFormat, ObjectId};

use super::Broken;
use crate::Kind;

pub(super) fn check_commit(bytes: &[u8], format: ObjectFormat) -> Result<(), Broken> {
    check_end(bytes)?;
    let mut rest = bytes;
    let tree = take(&mut rest, b"tree ").ok_or(("missingTree", "no 'tree' line"))?;
    check_id(tree, format).ok_or(("badTreeSha1", "the 'tree' line names no object"))?;
    while let Some(parent) = take(&mut rest, b"parent ") {
        check_id(parent, format).ok_or(("badParentSha1", "a 'parent' line names no object"))?;
    }
    let mut authors = 0;
    while let Some(ident) = take(&mut rest, b"author ") {
        authors += 1;
        check_ident(ident)?;
    }
    match authors {
        0 => return Err(("missingAuthor", "no 'author' line")),
        1 => {}
        _ => return Err(("multipleAuthors", "several 'author' lines")),
    }
    let committer =
        take(&mut rest, b"committer ").ok_or(("missingCommitter", "no 'committer' line"))?;
    check_ident(committer)?;
    if bytes.contains(&0) {
        return Err(("nulInCommit", "a NUL byte in the message"));
    }
    Ok(())
}

pub(super) fn check_tag(bytes: &[u8], format: ObjectFormat) -> Result<(), Broken> {
    check_end(bytes)?;
    let mut rest = bytes;
    let object = take(&mut rest, b"object ").ok_or(("missingObject", "no 'object' line"))?;
    check_id(object, format).ok_or(("badObjectSha1", "the 'object' line names no object"))?;
    let kind = take(&mut rest, b"type ").ok_or(("missingTypeEntry", "no 'type' line"))?;
    Kind::parse(kind).ok_or(("badType", "the 'type' line names no type"))?;
    take(&mut rest, b"tag ").ok_or(("missingTagEntry", "no 'tag' line"))?;
    // Tags of git's first days have no tagger.
    if let Some(tagger) = take(&mut rest, b"tagger ") {
        check_ident(tagger)?;
    }
    Ok(())
}

/// The header ends in a line's end, and holds no NUL.
fn check_end(bytes: &[u8]) -> Result<(), Broken> {
    let header = match bytes.find(b"\n\n") {
        Some(end) => &bytes[..end],
        None if bytes.ends_with(b"\n") => bytes,
        None if bytes.contains(&0) => return Err(("nulInHeader", "a NUL byte in the header")),
        None => return Err(("unterminatedHeader", "the header has no end")),
    };
    if header.contains(&0) {
        return Err(("nulInHeader", "a NUL byte in the header"));
    }
    Ok(())
}

/// The rest of the next line, if it begins with `key`.
fn take<'a>(rest: &mut &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let after = rest.strip_prefix(key)?;
    let end = after.find_byte(b'\n')?;
    *rest = &after[end + 1..];
    Some(&after[..end])
}

fn check_id(hex: &[u8], format: ObjectFormat) -> Option<ObjectId> {
    ObjectId::from_hex(hex).filter(|id| id.format() == format)
}

/// `Name <email> seconds +zone`
fn check_ident(line: &[u8]) -> Result<(), Broken> {
    if line.starts_with(b"<") {
        return Err(("missingNameBeforeEmail", "an identity without a name"));
    }
    let open = line.find_byteset(b"<>").ok_or(("missingEmail", "an identity without an email"))?;
    if line[open] == b'>' {
        return Err(("badName", "a name that holds '>'"));
    }
    if line[open - 1] != b' ' {
        return Err(("missingSpaceBeforeEmail", "no space before an email"));
    }
    let email = &line[open + 1..];
    let close = email.find_byteset(b"<>").filter(|at| email[*at] == b'>');
    let after = &email[close.ok_or(("badEmail", "an email that does not end"))? + 1..];
    let date =
        after.strip_prefix(b" ").ok_or(("missingSpaceBeforeDate", "no space before a date"))?;
    check_date(date)
}

/// Reads the number as C's `strtoumax` does, which git uses: after spaces, with a sign.
fn check_date(text: &[u8]) -> Result<(), Broken> {
    const NO_NUMBER: Broken = ("badDate", "a date that is no number");
    if text.starts_with(b"0") && !text.starts_with(b"0 ") {
        return Err(("zeroPaddedDate", "a date that begins with a zero"));
    }
    let text = text.trim_ascii_start();
    let (is_negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(NO_NUMBER);
    }
    let (seconds, zone) = text.split_at(digits);
    let number = seconds.to_str().ok().and_then(|text| text.parse::<i64>().ok());
    if number.is_none_or(|number| is_negative && number != 0) {
        return Err(("badDateOverflow", "a date beyond all clocks"));
    }
    match zone {
        [b' ', b'+' | b'-', zone @ ..]
            if zone.len() == 4 && zone.iter().all(u8::is_ascii_digit) =>
        {
            Ok(())
        }
        [b' ', ..] => Err(("badTimezone", "a time zone that is none")),
        _ => Err(NO_NUMBER),
    }
}
