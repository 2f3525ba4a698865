//! The `HEAD` file.

use bstr::ByteSlice;
use proto::{Head, ObjectId, RefName};

/// What the file of a mirror without a known HEAD says; git needs the file to see a repository.
pub(crate) const DEFAULT: &[u8] = b"ref: refs/heads/main\n";

/// Reads the file; `None` if it says nothing that can be understood.
pub(crate) fn parse(bytes: &[u8]) -> Option<Head> {
    let text = bytes.trim_end();
    match text.strip_prefix(b"ref:") {
        Some(name) => {
            let name = RefName::parse(name.trim_start()).ok()?;
            (name.as_bytes() != b"HEAD").then_some(Head::Symbolic(name))
        }
        None => ObjectId::from_hex(text).map(Head::Detached),
    }
}

/// The file's bytes.
pub(crate) fn render(head: &Head) -> Vec<u8> {
    match head {
        Head::Symbolic(name) => [b"ref: ", name.as_bytes(), b"\n"].concat(),
        Head::Detached(id) => format!("{id}\n").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        for text in ["ref: refs/heads/main\n", "0123456789abcdef0123456789abcdef01234567\n"] {
            assert_eq!(render(&parse(text.as_bytes()).unwrap()), text.as_bytes());
        }
        for bad in ["", "ref: HEAD", "ref: ../x", "main", "ref:"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
