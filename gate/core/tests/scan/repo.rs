//! Repositories that real git makes, and pushes from one to an origin, through the real store.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use gate_core::scan::{Pushed, PushedRef};
use gate_store::{Check, IndexLimits, Interrupt, Store};
use proto::{ObjectFormat, ObjectId, RefName};
use tempfile::TempDir;

/// Runs git in a repository; panics with its words if it fails.
pub(crate) fn git(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "safe.directory=*", "-c", "transfer.fsckObjects=false"])
        .args([
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.invalid",
            "-c",
            "core.autocrlf=false",
        ])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A push as the gate sees it: the origin's refs, and those that move or come.
pub(crate) struct Scene {
    pub(crate) source: PathBuf,
    /// Names and ids that the origin has.
    pub(crate) base: Vec<(String, String)>,
    /// Names, and the new ids.
    pub(crate) updates: Vec<(String, String)>,
}

/// What lives as long as the push does.
pub(crate) struct Stage {
    pub(crate) pushed: Pushed,
    _store: Store,
    _dir: TempDir,
}

impl Scene {
    /// Brings the push as far as it is connected; the error is the store's, such as fsck's.
    pub(crate) fn connect(&self) -> Result<Stage, String> {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin.git");
        let format = git(&self.source, &["rev-parse", "--show-object-format"], b"");
        let format = format!("--object-format={}", String::from_utf8(format).unwrap().trim());
        git(dir.path(), &["init", "-q", "--bare", "-b", "main", &format, "origin.git"], b"");
        for (name, _) in &self.base {
            let spec = format!("{name}:{name}");
            git(&origin, &["fetch", "-q", "--no-tags", self.source.to_str().unwrap(), &spec], b"");
        }
        git(&origin, &["repack", "-adq"], b"");
        git(&origin, &["pack-refs", "--all"], b"");
        let store = Store::open(&origin).map_err(|error| error.to_string())?;
        let wants: String = self.updates.iter().map(|(_, id)| format!("{id}\n")).collect();
        let haves: String = self.base.iter().map(|(_, id)| format!("^{id}\n")).collect();
        let revs = wants + &haves;
        let pack = git(
            &self.source,
            &["pack-objects", "-q", "--revs", "--thin", "--stdout", "--delta-base-offset"],
            revs.as_bytes(),
        );
        let mut quarantine =
            store.quarantine(&store.snapshot()).map_err(|error| error.to_string())?;
        let interrupt = Interrupt::default();
        let indexed = quarantine
            .index(
                &mut Cursor::new(&pack),
                &IndexLimits::NONE,
                Check::Push,
                &interrupt,
                &mut |_| {},
            )
            .map_err(|error| format!("index: {error:?}"))?;
        if let Some(error) = indexed.broken {
            return Err(error.to_string());
        }
        let tips: Vec<ObjectId> = self.updates.iter().map(|(_, new)| id(new)).collect();
        let connected = quarantine
            .connect(&tips, &[], Check::Push, &interrupt)
            .map_err(|error| format!("connect: {error}"))?;
        let refs = self.updates.iter().map(|(name, new)| PushedRef {
            name: RefName::parse(name.as_bytes()).unwrap(),
            old: self.base.iter().find(|(known, _)| known == name).map(|(_, old)| id(old)),
            new: id(new),
        });
        Ok(Stage {
            pushed: Pushed::new(Arc::new(connected), refs.collect(), Vec::new()),
            _store: store,
            _dir: dir,
        })
    }
}

fn id(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).unwrap()
}

/// A repository with a work tree, whose `origin` is what was pushed last.
pub(crate) struct Repo {
    dir: TempDir,
    base: Vec<(String, String)>,
}

impl Repo {
    /// With one commit on `main` of these files, which the origin has.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::with_format(ObjectFormat::Sha1, files)
    }

    pub(crate) fn with_format(format: ObjectFormat, files: &[(&str, &str)]) -> Self {
        let mut repo = Self { dir: tempfile::tempdir().unwrap(), base: Vec::new() };
        let format = format!("--object-format={}", format.as_str());
        repo.git(&["init", "-q", "-b", "main", &format]);
        repo.commit(files, "base");
        repo.at_origin("refs/heads/main");
        repo
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.feed(args, b"")
    }

    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> String {
        String::from_utf8(git(self.dir.path(), args, input)).unwrap().trim_end().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.dir.path().join(path)).unwrap();
    }

    pub(crate) fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        files.iter().for_each(|(path, content)| self.write(path, content));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The origin has this ref as it stands now.
    pub(crate) fn at_origin(&mut self, name: &str) {
        let id = self.git(&["rev-parse", name]);
        self.base.retain(|(known, _)| known != name);
        self.base.push((name.to_owned(), id));
        self.git(&["update-ref", &format!("refs/origin/{name}"), name]);
    }

    /// Pushes refs as they stand now (`name`, or `object:name`).
    pub(crate) fn push(&self, specs: &[&str]) -> Stage {
        let updates = specs.iter().map(|spec| {
            let (object, name) = spec.split_once(':').unwrap_or((spec, spec));
            (name.to_owned(), self.git(&["rev-parse", object]))
        });
        // The origin's refs may have moved on here: what it has stands under names of its own.
        let scene =
            Scene { source: self.mirror(), base: self.base.clone(), updates: updates.collect() };
        scene.connect().expect("connects")
    }

    /// A copy in which the origin's refs stand as the origin has them.
    fn mirror(&self) -> PathBuf {
        let path = self.dir.path().join(".git/mirror.git");
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        git(self.dir.path(), &["clone", "-q", "--mirror", ".", path.to_str().unwrap()], b"");
        for (name, id) in &self.base {
            git(&path, &["update-ref", name, id], b"");
        }
        path
    }
}
