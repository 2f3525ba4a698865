//! The directory the scanner works in: its rules, a `git` of ours, and nothing that a push could have put there.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::rules::{self, PathClasses, RulesError, hex};

/// A scanner that was looked at, with what it needs to run. One serves all scans; dropped, its directory vanishes.
#[derive(Debug)]
pub(super) struct Workplace {
    gitleaks: PathBuf,
    seen: Seen,
    digest: String,
    engine: &'static str,
    dir: TempDir,
    classes: PathClasses,
    path: OsString,
}

/// What tells that a file is still the one that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Why the scanner can't work.
#[derive(Debug, thiserror::Error)]
pub enum WorkplaceError {
    #[error("the scanner {} can't be read", path.display())]
    Binary { path: PathBuf, source: io::Error },
    #[error("make the scanner's directory")]
    Dir(#[source] io::Error),
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl Workplace {
    /// Looks at the gitleaks binary, derives the rules and lays out the directory. Blocks: reads 20 MB.
    pub(super) fn new(
        gitleaks: &Path,
        extra: &[PathBuf],
        patch_source: &Path,
        scratch: Option<&Path>,
    ) -> Result<Self, WorkplaceError> {
        let unreadable = |source| WorkplaceError::Binary { path: gitleaks.into(), source };
        let gitleaks = fs::canonicalize(gitleaks).map_err(unreadable)?;
        let seen = Seen::of(&gitleaks).map_err(unreadable)?;
        let binary = fs::read(&gitleaks).map_err(unreadable)?;
        let rules = rules::derive(&binary, extra)?;
        let dir = lay_out(&rules.config, patch_source, scratch).map_err(WorkplaceError::Dir)?;
        Ok(Self {
            seen,
            digest: hex(&Sha256::digest(&binary)),
            engine: engine(&binary),
            path: dir.path().join("bin").into_os_string(),
            gitleaks,
            dir,
            classes: rules.classes,
        })
    }

    pub(super) fn gitleaks(&self) -> &Path {
        &self.gitleaks
    }

    /// The `PATH` of the scanner: one directory with one program.
    pub(super) fn path(&self) -> &OsString {
        &self.path
    }

    pub(super) fn rules(&self) -> PathBuf {
        self.dir.path().join("rules.toml")
    }

    /// An empty directory that nobody can write to.
    pub(super) fn empty(&self) -> PathBuf {
        self.dir.path().join("empty")
    }

    /// What the rules see in a path.
    pub(super) fn classes(&self) -> &PathClasses {
        &self.classes
    }

    /// SHA-256 of the binary, in hex.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Which regex engine the binary was built with.
    pub(super) fn engine(&self) -> &'static str {
        self.engine
    }

    /// Whether the binary still is the file that was looked at.
    pub(super) fn is_unchanged(&self) -> bool {
        Seen::of(&self.gitleaks).is_ok_and(|now| now == self.seen) && self.rules().exists()
    }
}

impl Seen {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

fn lay_out(rules: &str, patch_source: &Path, scratch: Option<&Path>) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("scan-");
    let dir = match scratch {
        Some(parent) => builder.tempdir_in(parent)?,
        None => builder.tempdir()?,
    };
    fs::write(dir.path().join("rules.toml"), rules)?;
    let empty = dir.path().join("empty");
    fs::create_dir(&empty)?;
    fs::set_permissions(&empty, Permissions::from_mode(0o555))?;
    fs::create_dir(dir.path().join("bin"))?;
    symlink(patch_source, dir.path().join("bin/git"))?;
    Ok(dir)
}

/// Go keeps the tags of a build within the binary.
fn engine(binary: &[u8]) -> &'static str {
    let tags = |tag: &[u8]| memchr::memmem::find(binary, tag).is_some();
    if tags(b"re2_cgo,") || tags(b",re2_cgo") {
        "RE2, native"
    } else if tags(b"-tags=gore2regex") {
        "RE2 in WebAssembly, about four times slower"
    } else {
        "Go's regexp, about ten times slower"
    }
}
