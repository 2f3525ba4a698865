//! Repositories made at run time by the system's git, which is also the judge.

use proto::ObjectId;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Both hashes; every rule holds for each.
pub(crate) const FORMATS: [proto::ObjectFormat; 2] =
    [proto::ObjectFormat::Sha1, proto::ObjectFormat::Sha256];

/// A repository that real git made, in a directory that goes with it.
pub(crate) struct Repo {
    dir: TempDir,
    pub(crate) format: proto::ObjectFormat,
}

impl Repo {
    /// An empty repository with a work tree.
    pub(crate) fn init(format: proto::ObjectFormat) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let repo = Self { dir, format };
        let object_format = format!("--object-format={}", format.as_str());
        repo.git(&["init", "-q", "-b", "main", &object_format]);
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn git_dir(&self) -> PathBuf {
        self.path().join(".git")
    }

    /// Runs git; panics with its words if it fails. Returns stdout without the last newline.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(self.path(), args)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the work tree")).expect("mkdir");
        std::fs::write(path, content).expect("write a file");
    }

    /// Commits everything in the work tree.
    pub(crate) fn commit(&self, message: &str) -> ObjectId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    pub(crate) fn id(&self, name: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", name]).as_bytes()).expect("an id")
    }

    pub(crate) fn is_ancestor(&self, old: &ObjectId, new: &ObjectId) -> bool {
        let args = ["merge-base", "--is-ancestor", &old.to_hex(), &new.to_hex()];
        git_output(self.path(), &args, b"").status.success()
    }

    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        git_output(self.path(), &["cat-file", "-e", &id.to_hex()], b"").status.success()
    }

    /// A history on `main` in which files change a little each time, so that git makes deltas.
    pub(crate) fn with_history(self, commits: u32) -> Self {
        let mut lines: Vec<String> =
            (0..200).map(|i| format!("line {i} of a file that lives long")).collect();
        let mut stream = String::new();
        for n in 0..commits {
            lines[(n as usize * 37) % 200] = format!("changed in commit {n}");
            let (long, small) = (lines.join("\n"), format!("number {n}\n"));
            let message = format!("commit {n}");
            let _ = write!(
                stream,
                "commit refs/heads/main\ncommitter C <c@example.com> {} +0000\n\
                 data {}\n{message}\nM 644 inline a/long.txt\ndata {}\n{long}\n\
                 M 644 inline b/{}/small.txt\ndata {}\n{small}\n",
                1_700_000_000 + n,
                message.len(),
                long.len(),
                n % 7,
                small.len(),
            );
        }
        git_bytes(self.path(), &["fast-import", "--quiet"], stream.as_bytes());
        self.git(&["reset", "-q", "--hard"]);
        self
    }

    /// The pack that `git pack-objects` makes of what `revs` names (one a line, `^` excludes).
    pub(crate) fn pack(&self, options: &[&str], revs: &str) -> Vec<u8> {
        let mut args = vec!["pack-objects", "-q", "--stdout", "--revs"];
        args.extend(options);
        git_bytes(self.path(), &args, revs.as_bytes())
    }

    /// All ids that `git rev-list --objects` names, sorted.
    pub(crate) fn objects(&self, revs: &[&str]) -> Vec<ObjectId> {
        let mut args = vec!["rev-list", "--objects", "--no-object-names"];
        args.extend(revs);
        ids(&self.git(&args))
    }
}

/// Ids from lines that begin with one, sorted.
pub(crate) fn ids(lines: &str) -> Vec<ObjectId> {
    let mut ids: Vec<_> = lines
        .lines()
        .map(|line| {
            let hex = line.split(' ').next().expect("a word");
            ObjectId::from_hex(hex.as_bytes()).expect("an id")
        })
        .collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let out = git_bytes(dir, args, b"");
    String::from_utf8(out).expect("UTF-8").trim_end_matches('\n').to_owned()
}

pub(crate) fn git_bytes(dir: &Path, args: &[&str], stdin: &[u8]) -> Vec<u8> {
    let out = git_output(dir, args, stdin);
    assert!(
        out.status.success(),
        "git {args:?}: {}{}",
        String::from_utf8_lossy(&out.stderr),
        String::from_utf8_lossy(&out.stdout)
    );
    out.stdout
}

pub(crate) fn git_output(dir: &Path, args: &[&str], stdin: &[u8]) -> std::process::Output {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "A U Thor"),
            ("GIT_AUTHOR_EMAIL", "author@example.com"),
            ("GIT_COMMITTER_NAME", "C O Mitter"),
            ("GIT_COMMITTER_EMAIL", "committer@example.com"),
            ("LC_ALL", "C.UTF-8"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let mut pipe = child.stdin.take().expect("piped");
    let input = stdin.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let out = child.wait_with_output().expect("git ends");
    // Git may end without reading all it was given.
    drop(writer.join().expect("the writer ends"));
    out
}
