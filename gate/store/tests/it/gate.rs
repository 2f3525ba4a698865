//! A store, and the ways things get into it.

use gate_store::{
    Check, CommitError, ConnectError, Connected, IndexError, IndexLimits, Indexed, Interrupt,
    Quarantine, RefEdit, RefTable, Snapshot, Store,
};
use proto::{Head, ObjectFormat, ObjectId, Ref, RefName};
use std::io::{BufRead, Cursor};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

use crate::support::{Repo, git, git_output};

pub(crate) const LIMITS: IndexLimits = IndexLimits {
    pack_bytes: 10 << 20,
    objects: 100_000,
    object_bytes: 1 << 20,
    delta_depth: 4095,
    inflate_ratio: 200,
};

/// An empty mirror, or one that holds what a repository of git's holds.
pub(crate) struct Gate {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Gate {
    pub(crate) fn empty(format: ObjectFormat) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::create(&dir.path().join("m.git"), format).expect("made");
        Self { dir, store }
    }

    pub(crate) fn cloned(repo: &Repo) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("m.git");
        git(dir.path(), &["clone", "-q", "--mirror", &repo.path().to_string_lossy(), "m.git"]);
        git(&path, &["repack", "-adq"]);
        git(&path, &["pack-refs", "--all"]);
        let store = Store::open(&path).expect("opens");
        Self { dir, store }
    }

    pub(crate) fn index(
        &self,
        input: &mut impl BufRead,
        limits: &IndexLimits,
        check: Check,
    ) -> Result<(Quarantine, Indexed), IndexError> {
        let mut quarantine = self.store.quarantine(&self.store.snapshot()).expect("a directory");
        let interrupt = Interrupt::default();
        let mut indexed = quarantine.index(input, limits, check, &interrupt, &mut |_| {})?;
        if let Some(broken) = indexed.broken.take() {
            return Err(broken);
        }
        Ok((quarantine, indexed))
    }

    pub(crate) fn push(&self, pack: &[u8]) -> Result<(Quarantine, Indexed), IndexError> {
        self.index(&mut Cursor::new(pack), &LIMITS, Check::Push)
    }

    /// The error of a pack that must be refused, after which nothing may be left.
    pub(crate) fn refuses(&self, pack: &[u8]) -> IndexError {
        let error = self.push(pack).map(|(_, indexed)| indexed).expect_err("refused");
        let left = std::fs::read_dir(self.store.dir().join("quarantine")).expect("list").count();
        assert_eq!(left, 0, "{error}");
        assert!(error.is_senders_fault(), "{error}");
        error
    }

    /// A mirror of a repository, fetched as the gate itself would.
    pub(crate) fn mirror(repo: &Repo) -> Self {
        let gate = Self::empty(repo.format);
        gate.refresh(repo).expect("mirrored");
        gate
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.store.dir().to_owned()
    }

    /// The same directory, opened by a gate that starts anew.
    pub(crate) fn reopen(self) -> Self {
        let path = self.path();
        let Self { dir, store } = self;
        drop(store);
        Self { dir, store: Store::open(&path).expect("opens") }
    }

    /// Takes what the repository has and the mirror has not, and then all of its refs.
    pub(crate) fn refresh(&self, repo: &Repo) -> Result<Arc<Snapshot>, CommitError> {
        let snapshot = self.store.snapshot();
        let (refs, head) = refs_of(repo);
        let targets: Vec<_> = refs.iter().map(|entry| entry.target).collect();
        let mut revs = String::new();
        for target in &targets {
            revs.push_str(&format!("{target}\n"));
        }
        for have in snapshot.refs().iter().filter(|have| repo.has(&have.target)) {
            revs.push_str(&format!("^{}\n", have.target));
        }
        let pack = repo.pack(&["--thin", "--delta-base-offset"], &revs);
        let connected = self.fetched(&pack, &targets).expect("whole");
        let empty = refs.is_empty();
        self.store.commit_mirror(Some(&connected), refs, head, &[], empty)
    }

    /// Connects an origin's pack.
    pub(crate) fn fetched(
        &self,
        pack: &[u8],
        tips: &[ObjectId],
    ) -> Result<Connected, ConnectError> {
        let (quarantine, _) =
            self.index(&mut Cursor::new(pack), &IndexLimits::NONE, Check::Origin).expect("a pack");
        quarantine.connect(tips, &[], Check::Origin, &Interrupt::default())
    }

    /// Connects a client's pack.
    pub(crate) fn pushed(&self, pack: &[u8], tips: &[ObjectId]) -> Result<Connected, ConnectError> {
        let (quarantine, _) = self.push(pack).expect("a pack");
        quarantine.connect(tips, &[], Check::Push, &Interrupt::default())
    }

    /// Git's own check of the whole mirror.
    pub(crate) fn fsck(&self) {
        let args = ["fsck", "--full", "--strict", "--no-dangling"];
        let out = git_output(&self.path(), &args, b"");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{stdout}{stderr}");
    }

    /// All refs as git reads them from the mirror.
    pub(crate) fn refs(&self) -> String {
        git(&self.path(), &["for-each-ref", "--format=%(objectname) %(refname)"])
    }
}

pub(crate) fn name(name: &str) -> RefName {
    RefName::parse(name.as_bytes()).expect("a name")
}

pub(crate) fn edit(to: &str, old: Option<ObjectId>, new: Option<ObjectId>) -> RefEdit {
    RefEdit { name: name(to), old, new }
}

/// The refs and HEAD of a repository, as an origin lists them.
pub(crate) fn refs_of(repo: &Repo) -> (RefTable, Option<Head>) {
    let text = repo.git(&["for-each-ref", "--format=%(objectname) %(refname)"]);
    let refs: Vec<_> = text
        .lines()
        .map(|line| {
            let (hex, refname) = line.split_once(' ').expect("two words");
            let target = ObjectId::from_hex(hex.as_bytes()).expect("an id");
            Ref { name: name(refname), target, peeled: None }
        })
        .collect();
    let head = repo.git(&["symbolic-ref", "HEAD"]);
    (RefTable::from_refs(repo.format, &refs).expect("a table"), Some(Head::Symbolic(name(&head))))
}
