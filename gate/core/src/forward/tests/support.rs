//! Repositories, and a way to them that spawns stock git.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::dial::{Connection, Dial, Error, ErrorKind, Stream, Words};
use futures_util::future::BoxFuture;
use gate_config::{OriginUrl, RepoName, ResolvedRepo};
use proto::{ObjectId, RefName, Service, Version};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

/// A bare origin and a clone with a work tree, both gone with the value.
#[derive(Debug)]
pub(super) struct Repos {
    dir: TempDir,
}

impl Repos {
    /// An origin with one commit on `main`, and a clone of it.
    pub(super) fn new() -> Self {
        let repos = Self::empty();
        repos.commit("one");
        repos.work(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
        repos
    }

    /// An origin with nothing in it, and a clone without commits.
    pub(super) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let repos = Self { dir };
        run(repos.root(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        run(repos.root(), &["init", "-q", "-b", "main", "work"]);
        repos.work(&["remote", "add", "origin", "../origin.git"]);
        repos
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn origin_dir(&self) -> PathBuf {
        self.root().join("origin.git")
    }

    pub(super) fn work(&self, args: &[&str]) -> String {
        run(&self.root().join("work"), args)
    }

    pub(super) fn origin(&self, args: &[&str]) -> String {
        run(&self.origin_dir(), args)
    }

    /// Adds a commit to the work tree; its message and its file bear `name`.
    pub(super) fn commit(&self, name: &str) -> ObjectId {
        std::fs::write(self.root().join("work").join(name), format!("{name}\n")).expect("write");
        self.work(&["add", name]);
        self.work(&["commit", "-q", "-m", name]);
        self.id("HEAD")
    }

    pub(super) fn id(&self, rev: &str) -> ObjectId {
        parse_id(&self.work(&["rev-parse", rev]))
    }

    /// The value of a ref at the origin.
    pub(super) fn at_origin(&self, name: &str) -> Option<ObjectId> {
        let out = self.origin(&["for-each-ref", "--format=%(objectname)", name]);
        (!out.is_empty()).then(|| parse_id(&out))
    }

    pub(super) fn hook(&self, name: &str, script: &str) {
        let file = self.origin_dir().join("hooks").join(name);
        std::fs::create_dir_all(self.origin_dir().join("hooks")).expect("mkdir");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// The origin as the gate's config names it.
    pub(super) fn rule(&self) -> ResolvedRepo {
        let url = format!("file://{}", self.origin_dir().display());
        ResolvedRepo {
            name: RepoName::parse("acme/app").expect("a name"),
            origin: OriginUrl::parse(&url).expect("a URL"),
            identity: None,
            known_hosts: None,
            token: None,
            ca_file: None,
        }
    }

    /// A pack of everything in the clone that `revs` does not exclude.
    pub(super) fn pack(&self, revs: &str) -> Vec<u8> {
        let mut child =
            git(&self.root().join("work"), &["pack-objects", "--revs", "--all", "--stdout", "-q"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("git runs");
        child.stdin.take().expect("piped").write_all(revs.as_bytes()).expect("write");
        child.wait_with_output().expect("git ends").stdout
    }
}

pub(super) fn name(name: &str) -> RefName {
    RefName::parse(name.as_bytes()).expect("a ref name")
}

fn parse_id(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).unwrap_or_else(|| panic!("no id: {hex}"))
}

/// Runs git and returns what it prints; it must succeed.
pub(super) fn run(dir: &Path, args: &[&str]) -> String {
    let out = git(dir, args).output().expect("git runs");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// Git without this machine's configuration.
pub(super) fn git(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.com")])
        .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.com")])
        .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
        .envs([("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")])
        .stdin(Stdio::null());
    command
}

/// Reaches origins by spawning stock git on their directories.
#[derive(Debug)]
pub(super) struct Spawn;

impl Dial for Spawn {
    fn dial<'a>(
        &'a self,
        to: &'a ResolvedRepo,
        service: Service,
        version: Version,
    ) -> BoxFuture<'a, Result<Connection, Error>> {
        Box::pin(async move {
            let url = to.origin.to_string();
            let path = url.strip_prefix("file://").expect("a file URL").to_owned();
            let program = service.as_str().strip_prefix("git-").expect("git's services");
            let mut command = git(Path::new("/"), &[program, &path]);
            if version == Version::V2 {
                command.env("GIT_PROTOCOL", "version=2");
            }
            let mut child = tokio::process::Command::from(command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| Error::new(ErrorKind::Unreachable, error.to_string()))?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            let mut stderr = child.stderr.take().expect("piped");
            let words = Words::hiding(path.as_bytes());
            let heard = words.clone();
            tokio::spawn(async move {
                let mut said = Vec::new();
                drop(stderr.read_to_end(&mut said).await);
                heard.add(&said);
                heard.end(None);
                drop(child.wait().await);
            });
            let io = tokio::io::join(stdout.expect("piped"), stdin.expect("piped"));
            Ok(Connection::Stream(Stream { io: Box::new(io), words }))
        })
    }
}
