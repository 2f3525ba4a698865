//! `.gitattributes`: lines that older gits cannot bear.

use super::Broken;
use crate::Kind;

/// The longest line, in bytes (git's `ATTR_MAX_LINE_LENGTH`).
const MAX_LINE: usize = 2048;

pub(super) fn check(kind: Kind, bytes: &[u8]) -> Result<(), Broken> {
    if kind != Kind::Blob {
        return Err(("gitattributesBlob", "'.gitattributes' is not a file"));
    }
    if bytes.split(|byte| *byte == b'\n').any(|line| line.len() >= MAX_LINE) {
        return Err(("gitattributesLineLength", "a line of '.gitattributes' is too long"));
    }
    Ok(())
}
