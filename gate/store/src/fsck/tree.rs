//! Trees: their entries' names, modes and order.

use bstr::ByteSlice;
use proto::{ObjectFormat, ObjectId};

use super::names::{is_dotgit, is_special};
use super::{Broken, Special};

/// The longest name of an entry (git's `fsck.largePathname`).
const MAX_NAME: usize = 4096;

const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const FORMAT: u32 = 0o170_000;

/// Checks a tree and tells which entries git will read for its own use.
pub(super) fn check(
    bytes: &[u8],
    format: ObjectFormat,
    special: &mut dyn FnMut(ObjectId, Special),
) -> Result<(), Broken> {
    let mut rest = bytes;
    let mut last: Option<(&[u8], bool)> = None;
    // Files that a directory further down may be a duplicate of, see `is_before`.
    let mut open: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        let entry = entry(&mut rest, format).ok_or(("badTree", "it cannot be read as a tree"))?;
        check_entry(&entry)?;
        let found = Special {
            gitmodules: is_special(entry.name, b"gitmodules", b"gi7eba"),
            gitattributes: is_special(entry.name, b"gitattributes", b"gi7d29"),
        };
        let is_symlink = entry.mode & FORMAT == SYMLINK;
        if found.gitmodules && is_symlink {
            return Err(("gitmodulesSymlink", "'.gitmodules' is a symbolic link"));
        }
        if (found.gitmodules || found.gitattributes) && !is_symlink {
            special(entry.id, found);
        }
        let is_dir = entry.mode & FORMAT == DIRECTORY;
        if let Some((name, was_dir)) = last {
            check_order(name, was_dir, entry.name, is_dir, &mut open)?;
        }
        last = Some((entry.name, is_dir));
    }
    Ok(())
}

struct Entry<'a> {
    mode: u32,
    is_padded: bool,
    name: &'a [u8],
    id: ObjectId,
}

fn entry<'a>(rest: &mut &'a [u8], format: ObjectFormat) -> Option<Entry<'a>> {
    let (mode, after) = rest.split_at_checked(rest.find_byte(b' ')?)?;
    let name_end = after.find_byte(0)?;
    let name = Some(&after[1..name_end]).filter(|name| !name.is_empty())?;
    let (id, after) = after[name_end + 1..].split_at_checked(format.raw_len())?;
    *rest = after;
    let value = octal(mode)?;
    Some(Entry {
        mode: value,
        is_padded: mode.starts_with(b"0"),
        name,
        id: ObjectId::from_raw(id)?,
    })
}

fn octal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| match digit {
        // past all bits, as in git
        b'0'..=b'7' => Some(value.wrapping_shl(3) | u32::from(digit - b'0')),
        _ => None,
    })
}

fn check_entry(entry: &Entry<'_>) -> Result<(), Broken> {
    let name = entry.name;
    if entry.id.is_null() {
        return Err(("nullSha1", "an entry names the null id"));
    }
    if name.contains(&b'/') {
        return Err(("fullPathname", "a name holds a slash"));
    }
    match name {
        b"." => return Err(("hasDot", "the name '.'")),
        b".." => return Err(("hasDotdot", "the name '..'")),
        _ => {}
    }
    if is_dotgit(name) {
        return Err(("hasDotgit", "the name '.git', or one that some file systems take for it"));
    }
    if entry.is_padded {
        return Err(("zeroPaddedFilemode", "a file mode begins with a zero"));
    }
    if name.len() > MAX_NAME {
        return Err(("largePathname", "a name longer than 4096 bytes"));
    }
    Ok(())
}

/// Trees are sorted as if directories' names ended in a slash, and no name is there twice.
fn check_order<'a>(
    name: &'a [u8],
    is_dir: bool,
    next: &'a [u8],
    next_is_dir: bool,
    open: &mut Vec<&'a [u8]>,
) -> Result<(), Broken> {
    const UNSORTED: Broken = ("treeNotSorted", "its entries are not sorted");
    const TWICE: Broken = ("duplicateEntries", "a name is there twice");
    let len = name.len().min(next.len());
    match name[..len].cmp(&next[..len]) {
        std::cmp::Ordering::Less => return Ok(()),
        std::cmp::Ordering::Greater => return Err(UNSORTED),
        std::cmp::Ordering::Equal => {}
    }
    let end = |name: &[u8], is_dir: bool| match name.get(len) {
        Some(byte) => *byte,
        None if is_dir => b'/',
        None => 0,
    };
    if name.len() == next.len() {
        return Err(TWICE);
    }
    let (a, b) = (end(name, is_dir), end(next, next_is_dir));
    // `foo`, `foo.bar`, `foo/`: the two foos are the same name, yet not neighbours.
    if a == 0 && b < b'/' {
        open.push(name);
    } else if b == b'/' && a < b'/' {
        while let Some(file) = open.pop() {
            match next.strip_prefix(file) {
                Some([]) => return Err(TWICE),
                Some([byte, ..]) if *byte < b'/' => {
                    open.push(file);
                    break;
                }
                _ => {}
            }
        }
    }
    if a < b { Ok(()) } else { Err(UNSORTED) }
}
