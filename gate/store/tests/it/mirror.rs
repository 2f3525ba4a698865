//! A store over a mirror that git made, and what real git says of the packs it writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gate_store::{Interrupt, PackRequest, Snapshot, Store, plan};
use proto::{ObjectFormat, ObjectId};
use tempfile::TempDir;

use crate::support::{Repo, git, git_bytes, git_output, ids};

pub(crate) struct Mirror {
    dir: TempDir,
    pub(crate) store: Store,
}

impl Mirror {
    /// Mirrors the repository with stock git into one pack.
    pub(crate) fn of(repo: &Repo) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let from = format!("file://{}", repo.git_dir().display());
        git(dir.path(), &["clone", "-q", "--mirror", &from, "m.git"]);
        Self::open(dir)
    }

    /// Opens the same directory again, as after a restart.
    pub(crate) fn reopen(self) -> Self {
        drop(self.store);
        let store = Store::open(&self.dir.path().join("m.git")).expect("a store");
        Self { dir: self.dir, store }
    }

    /// Copies a shallow repository, its boundary included.
    pub(crate) fn shallow_of(repo: &Repo) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("m.git");
        git(
            dir.path(),
            &[
                "init",
                "-q",
                "--bare",
                &format!("--object-format={}", repo.format.as_str()),
                "m.git",
            ],
        );
        let from = format!("file://{}", repo.git_dir().display());
        git(&path, &["fetch", "-q", "--update-shallow", &from, "+refs/*:refs/*"]);
        Self::open(dir)
    }

    /// Fetches as stock git does; the pack is kept as it comes. Reopen to see it.
    pub(crate) fn fetch(&self) {
        git(
            &self.path(),
            &["-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", "fetch", "-q", "--prune"],
        );
        git(&self.path(), &["pack-refs", "--all"]);
    }

    /// All ids the packs hold.
    pub(crate) fn all_objects(&self) -> BTreeSet<ObjectId> {
        let args = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
        ids(&git(&self.path(), &args)).into_iter().collect()
    }

    fn open(dir: TempDir) -> Self {
        let path = dir.path().join("m.git");
        git(&path, &["repack", "-adq"]);
        git(&path, &["pack-refs", "--all"]);
        let store = Store::open(&path).expect("a store");
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("m.git")
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.store.snapshot()
    }

    /// All ids that `git rev-list --objects` names.
    pub(crate) fn objects(&self, args: &[&str]) -> BTreeSet<ObjectId> {
        let mut all = vec!["rev-list", "--objects", "--no-object-names"];
        all.extend(args);
        ids(&git(&self.path(), &all)).into_iter().collect()
    }
}

/// The pack that answers a request.
pub(crate) fn pack(snapshot: &Arc<Snapshot>, request: PackRequest) -> Vec<u8> {
    let interrupt = Interrupt::default();
    let plan = plan(snapshot, request, &interrupt, &mut |_| {}).expect("a plan");
    let mut out = Vec::new();
    let written = plan.write(&mut out, &interrupt, &mut |_| {}).expect("a pack");
    assert_eq!(written.bytes, out.len() as u64);
    assert!(out.ends_with(written.checksum.as_bytes()));
    assert_eq!(out[8..12], (written.objects as u32).to_be_bytes());
    out
}

/// A bare repository that receives packs, as a client does.
pub(crate) struct Client {
    dir: TempDir,
}

impl Client {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        git(dir.path(), &["init", "-q", "--bare", &format!("--object-format={}", format.as_str())]);
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes a pack that must stand alone.
    pub(crate) fn take(&self, pack: &[u8]) {
        git_bytes(self.path(), &["index-pack", "--strict", "--stdin"], pack);
    }

    /// Takes a pack that may build upon what is there.
    pub(crate) fn take_thin(&self, pack: &[u8]) {
        git_bytes(self.path(), &["index-pack", "--strict", "--fix-thin", "--stdin"], pack);
    }

    /// Takes a pack whose links lead to objects that are elsewhere.
    pub(crate) fn take_partial(&self, pack: &[u8]) {
        git_bytes(self.path(), &["index-pack", "--stdin"], pack);
    }

    /// Takes a pack that may build upon what is there, and whose links may end where history is cut.
    pub(crate) fn take_lax(&self, pack: &[u8]) {
        git_bytes(self.path(), &["index-pack", "--fix-thin", "--stdin"], pack);
    }

    pub(crate) fn set_shallow(&self, commits: &[ObjectId]) {
        let lines: String = commits.iter().map(|id| format!("{id}\n")).collect();
        std::fs::write(self.path().join("shallow"), lines).expect("write shallow");
    }

    pub(crate) fn objects(&self) -> BTreeSet<ObjectId> {
        let args = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
        ids(&git(self.path(), &args)).into_iter().collect()
    }

    /// Everything a tip reaches is there.
    pub(crate) fn is_whole(&self, tips: &[ObjectId]) {
        let mut args = vec!["rev-list".to_owned(), "--objects".to_owned(), "--quiet".to_owned()];
        args.extend(tips.iter().map(ObjectId::to_hex));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let out = git_output(self.path(), &args, b"");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}
