//! `.gitattributes`: sizes that older gits cannot bear.

use super::Broken;
use crate::Kind;

/// The longest line and the largest file, in bytes (git's `ATTR_MAX_LINE_LENGTH` and `ATTR_MAX_FILE_SIZE`).
const MAX_LINE: usize = 2048;
const MAX_FILE: usize = 100 << 20;

pub(super) fn check(kind: Kind, bytes: &[u8]) -> Result<(), Broken> {
    if kind != Kind::Blob {
        return Err(("gitattributesBlob", "'.gitattributes' is not a file"));
    }
    if bytes.len() > MAX_FILE {
        return Err(("gitattributesLarge", "'.gitattributes' is larger than 100 MiB"));
    }
    if bytes.split(|byte| *byte == b'\n').any(|line| line.len() >= MAX_LINE) {
        return Err(("gitattributesLineLength", "a line of '.gitattributes' is too long"));
    }
    Ok(())
}
