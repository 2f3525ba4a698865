//! Bare repositories that play the origin, and commits made in them by plumbing.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::env::TestEnv;

/// A bare repository below the test's `origins` folder, changed by the test as others change an origin.
pub(crate) struct Origin<'e> {
    env: &'e TestEnv,
    pub(crate) dir: PathBuf,
}

impl<'e> Origin<'e> {
    /// An empty repository whose HEAD is an unborn `main`.
    pub(crate) fn empty(env: &'e TestEnv, name: &str) -> Self {
        Self::with_format(env, name, "sha1")
    }

    pub(crate) fn with_format(env: &'e TestEnv, name: &str, format: &str) -> Self {
        let dir = env.origins().join(format!("{name}.git"));
        let dir_text = dir.to_str().expect("a UTF-8 path");
        env.git(["init", "-q", "--bare", "-b", "main", "--object-format", format, dir_text]).out();
        let origin = Self { env, dir };
        for (key, value) in ORIGIN_CONFIG {
            origin.git(["config", key, value]);
        }
        origin
    }

    /// Three commits on `main`, a branch, a light, an annotated and a nested tag, and a ref outside heads and tags.
    pub(crate) fn sample(env: &'e TestEnv, name: &str) -> Self {
        let origin = Self::empty(env, name);
        origin.fill();
        origin
    }

    pub(crate) fn fill(&self) {
        self.commit("main", "README", "first\n");
        self.commit("main", "src/lib.rs", "fn one() {}\n");
        let second = self.commit("main", "README", "second\n");
        self.git(["update-ref", "refs/heads/topic/a", &second]);
        self.commit("topic/a", "src/topic.rs", &"fn topic() {}\n".repeat(200));
        self.git(["tag", "light", "main~1"]);
        self.git(["tag", "-a", "-m", "release", "v1", "main"]);
        self.git(["tag", "-a", "-m", "nested", "v1-nested", "v1"]);
        self.git(["update-ref", "refs/notes/x", "main"]);
        self.git(["update-ref", "refs/pull/1/head", "topic/a"]);
    }

    #[track_caller]
    pub(crate) fn git<const N: usize>(&self, args: [&str; N]) -> String {
        self.env.git_in(&self.dir, args).out()
    }

    /// One commit on a branch, made or moved forward; gives its id.
    #[track_caller]
    pub(crate) fn commit(&self, branch: &str, path: &str, content: &str) -> String {
        self.commit_files(branch, &[(path, content.as_bytes())])
    }

    #[track_caller]
    pub(crate) fn commit_files(&self, branch: &str, files: &[(&str, &[u8])]) -> String {
        let name = format!("refs/heads/{branch}");
        let known = self.env.git_in(&self.dir, ["rev-parse", "-q", "--verify", &name]).ok;
        let mut stream = format!(
            "commit {name}\ncommitter Dev <dev@example.org> 1700000000 +0000\ndata 7\nchange\n{}",
            if known { format!("from {name}^0\n") } else { String::new() }
        )
        .into_bytes();
        for (path, content) in files {
            stream.extend_from_slice(
                format!("M 100644 inline {path}\ndata {}\n", content.len()).as_bytes(),
            );
            stream.extend_from_slice(content);
            stream.push(b'\n');
        }
        self.fast_import(&stream);
        self.tip(&name)
    }

    #[track_caller]
    pub(crate) fn fast_import(&self, stream: &[u8]) {
        let mut command = self.env.command("git");
        command
            .args(["fast-import", "--quiet", "--force"])
            .current_dir(&self.dir)
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("start git fast-import");
        child.stdin.take().expect("its input").write_all(stream).expect("feed git fast-import");
        assert!(child.wait().expect("wait for git fast-import").success(), "git fast-import");
    }

    /// Installs a hook: a shell script that runs in the repository.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        let path = self.dir.join("hooks").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("write a hook");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("make it run");
    }

    pub(crate) fn tip(&self, name: &str) -> String {
        self.git(["rev-parse", "--verify", name])
    }

    /// All refs with what tags peel to, and HEAD, as `git ls-remote` prints them.
    pub(crate) fn listing(&self) -> String {
        self.env.git(["ls-remote", self.dir.to_str().expect("a UTF-8 path")]).out()
    }
}

/// A host that serves what it has, takes pushes, and hides `refs/pull/*` from them.
const ORIGIN_CONFIG: [(&str, &str); 8] = [
    ("http.receivepack", "true"),
    ("receive.advertisePushOptions", "true"),
    ("receive.denyDeleteCurrent", "ignore"),
    ("receive.hideRefs", "refs/pull"),
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("receive.autogc", "false"),
    ("gc.auto", "0"),
];
