//! What a kept pack is, in a file beside it that is written last.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use proto::{ObjectFormat, ObjectId};

use super::Key;
use crate::Pack;
use crate::files::{self, FileError, failed};

/// Says of what a pack is the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Whether the pack is exactly what `tips` reach down to `cuts`; if not, it answers its own question alone.
    pub(crate) is_closure: bool,
    pub(crate) tips: Vec<ObjectId>,
    /// Commits at which history was cut, sorted.
    pub(crate) cuts: Vec<ObjectId>,
}

const FIRST: &str = "kept-pack 1\n";
const EXTENSIONS: [&str; 3] = ["tips", "idx", "pack"];

/// The files of one kept pack, the certificate first.
pub(super) fn files(dir: &Path, key: &Key) -> [PathBuf; 3] {
    let name = name(key);
    EXTENSIONS.map(|extension| dir.join(format!("{name}.{extension}")))
}

pub(super) fn name(key: &Key) -> String {
    key.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Certificate {
    pub(super) fn render(&self, pack: &Pack) -> String {
        let mut text = String::from(FIRST);
        let _ = writeln!(text, "pack {} {}", pack.trailer(), pack.bytes().len());
        let _ = writeln!(text, "closure {}", self.is_closure);
        for id in &self.tips {
            let _ = writeln!(text, "tip {id}");
        }
        for id in &self.cuts {
            let _ = writeln!(text, "cut {id}");
        }
        text.push_str("end\n");
        text
    }

    /// Reads a certificate if it is whole and speaks of this pack.
    pub(super) fn parse(text: &[u8], pack: &Pack) -> Option<Self> {
        let rest = text.strip_prefix(FIRST.as_bytes())?.strip_suffix(b"end\n")?;
        let mut certificate = Self { is_closure: false, tips: Vec::new(), cuts: Vec::new() };
        let mut lines = rest.lines();
        let proof = format!("pack {} {}", pack.trailer(), pack.bytes().len());
        if lines.next()? != proof.as_bytes() {
            return None;
        }
        for line in lines {
            match line.split_once_str(" ")? {
                (b"closure", b"true") => certificate.is_closure = true,
                (b"closure", b"false") => {}
                (b"tip", hex) => certificate.tips.push(ObjectId::from_hex(hex)?),
                (b"cut", hex) => certificate.cuts.push(ObjectId::from_hex(hex)?),
                _ => return None,
            }
        }
        Some(certificate)
    }
}

/// Opens what is certified and removes the rest.
pub(super) fn sweep(
    dir: &Path,
    format: ObjectFormat,
) -> Result<Vec<(Key, Certificate, Pack)>, FileError> {
    let mut kept = Vec::new();
    let Ok(listing) = std::fs::read_dir(dir) else { return Ok(kept) };
    let mut paths = BTreeSet::new();
    for entry in listing {
        paths.insert(entry.map_err(failed("list", dir))?.path());
    }
    let certificates =
        paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "tips"));
    let found: Vec<_> = certificates.filter_map(|path| open(path, format)).collect();
    for (key, certificate, pack) in found {
        for path in files(dir, &key) {
            paths.remove(&path);
        }
        kept.push((key, certificate, pack));
    }
    for path in paths {
        files::remove(&path)?;
    }
    Ok(kept)
}

fn open(path: &Path, format: ObjectFormat) -> Option<(Key, Certificate, Pack)> {
    let name = path.file_stem()?.to_str()?;
    let key = *ObjectId::from_hex(name.as_bytes())?.as_bytes().first_chunk()?;
    let pack = Pack::open(&path.with_extension("pack"), format).ok()?;
    let certificate = Certificate::parse(&std::fs::read(path).ok()?, &pack)?;
    Some((key, certificate, pack))
}
