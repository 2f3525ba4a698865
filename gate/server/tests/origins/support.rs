//! An origin made by git, and a mirror of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gate_config::{Limits, OriginUrl, RepoName, ResolvedRepo};
use gate_core::Mirror;
use gate_core::blocking::Pool;
use gate_core::dial::Dial;
use gate_core::mirror::Context;
use gate_store::Snapshot;
use git_gate::origin::Origins;

/// A bare repository that plays the origin, and a place for the mirror.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
}

impl Scene {
    /// With an empty origin whose HEAD is an unborn `main`.
    pub(crate) fn empty() -> Self {
        Self::with_format("sha1")
    }

    pub(crate) fn with_format(format: &str) -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        let origin = scene.origin();
        git(
            scene.dir.path(),
            &[
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                "--object-format",
                format,
                origin.to_str().unwrap(),
            ],
        );
        scene
    }

    /// With two commits, a branch and an annotated tag.
    pub(crate) fn sample() -> Self {
        let scene = Self::empty();
        scene.commit("main", "one");
        scene.commit("main", "two");
        scene.git(&["branch", "topic", "main~1"]);
        scene.git(&["tag", "-a", "-m", "release", "v1", "main"]);
        scene
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.dir.path().join("origin.git")
    }

    pub(crate) fn mirror_dir(&self) -> PathBuf {
        self.dir.path().join("mirror.git")
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.origin().display())
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.origin(), arguments)
    }

    /// A commit on `branch`, made if need be; answers its id.
    pub(crate) fn commit(&self, branch: &str, text: &str) -> String {
        let name = format!("refs/heads/{branch}");
        let blob = git_input(&self.origin(), &["hash-object", "-w", "--stdin"], text);
        let tree = git_input(&self.origin(), &["mktree"], &format!("100644 blob {blob}\t{text}\n"));
        let parent = try_git(&self.origin(), &["rev-parse", "-q", "--verify", &name]);
        let mut arguments = vec!["commit-tree", "-m", text, &tree];
        if let Some(parent) = &parent {
            arguments.extend(["-p", parent]);
        }
        let commit = self.git(&arguments);
        self.git(&["update-ref", &name, &commit]);
        commit
    }

    /// A commit on `main` with one file of this content.
    pub(crate) fn blob(&self, name: &str, content: &str) {
        let blob = git_input(&self.origin(), &["hash-object", "-w", "--stdin"], content);
        let tree = git_input(&self.origin(), &["mktree"], &format!("100644 blob {blob}\t{name}\n"));
        let commit = self.git(&["commit-tree", "-m", name, "-p", "main", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
    }

    /// What git says the origin's refs are, HEAD and peeled tags included.
    pub(crate) fn listing(&self) -> String {
        git(self.dir.path(), &["ls-remote", self.origin().to_str().unwrap()])
    }

    /// What git says the mirror's refs are; and that it is whole.
    pub(crate) fn mirrored(&self) -> String {
        self.check_mirror();
        git(self.dir.path(), &["ls-remote", self.mirror_dir().to_str().unwrap()])
    }

    /// The mirror is whole, says git. It is asked again if consolidation took packs away from under it: alone of git's
    /// commands fsck does not look for where their objects have gone.
    #[track_caller]
    pub(crate) fn check_mirror(&self) {
        let mirror = self.mirror_dir();
        let packs = || {
            let entries = std::fs::read_dir(mirror.join("objects/pack")).into_iter().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        loop {
            let before = packs();
            let fsck =
                command("git", &mirror).args(["fsck", "--full", "--strict"]).output().unwrap();
            if before == packs() {
                let said = String::from_utf8_lossy(&fsck.stderr);
                assert!(fsck.status.success(), "git fsck: {said}");
                return;
            }
        }
    }

    pub(crate) fn mirror(&self, url: &str) -> Mirror {
        let (dial, limits) = (Arc::new(Origins::new(Limits::default())), Limits::default());
        self.mirror_by(rule(url), dial, limits)
    }

    pub(crate) fn mirror_by(
        &self,
        rule: ResolvedRepo,
        dial: Arc<dyn Dial>,
        limits: Limits,
    ) -> Mirror {
        let pool = || Pool::new(2);
        let context = Context { dial, limits, fetch: pool(), cpu: pool(), background: pool() };
        Mirror::open(self.mirror_dir(), rule, context)
    }
}

/// A rule without credentials.
pub(crate) fn rule(url: &str) -> ResolvedRepo {
    ResolvedRepo {
        name: RepoName::parse("app").unwrap(),
        origin: OriginUrl::parse(url).unwrap(),
        identity: None,
        known_hosts: None,
        token: None,
        ca_file: None,
    }
}

/// The id a snapshot holds for `name`.
pub(crate) fn tip(snapshot: &Snapshot, name: &str) -> Option<String> {
    snapshot.refs().get(name.as_bytes()).map(|entry| entry.target.to_hex())
}

/// Runs git where nobody's configuration is read.
pub(crate) fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(dir);
    for (key, value) in ENVIRONMENT {
        command.env(key, value);
    }
    command
}

pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("HOME", "/nonexistent"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "A"),
    ("GIT_AUTHOR_EMAIL", "a@example.org"),
    ("GIT_COMMITTER_NAME", "C"),
    ("GIT_COMMITTER_EMAIL", "c@example.org"),
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "protocol.file.allow"),
    ("GIT_CONFIG_VALUE_0", "always"),
];

#[track_caller]
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = command("git", dir).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn try_git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let output = command("git", dir).args(arguments).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[track_caller]
pub(crate) fn git_input(dir: &Path, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut command = command("git", dir);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
