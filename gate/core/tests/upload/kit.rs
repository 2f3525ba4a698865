//! A repository made by real git, asked through git's own server and through ours.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gate_config::{Limits, RepoName};
use gate_core::blocking::{Pool, Pools};
use gate_core::company::Company;
use gate_core::session::{Door, Mode, Session, SessionId};
use gate_core::upload::{self, Refresh};
use gate_core::{Client, Error};
use gate_store::{Snapshot, Store};
use proto::{Service, Version, pktline};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) struct Repo {
    dir: TempDir,
    snapshot: Arc<Snapshot>,
}

impl Repo {
    /// A bare repository with what `script` makes in a work tree.
    pub(crate) fn new(format: &str, script: &str) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let format = format!("--object-format={format}");
        run(dir.path(), &["git", "init", "-q", "-b", "main", &format, "work"], b"");
        run(&dir.path().join("work"), &["sh", "-ec", script], b"");
        run(dir.path(), &["git", "init", "-q", "--bare", &format, "bare.git"], b"");
        let bare = dir.path().join("bare.git");
        run(&bare, &["git", "fetch", "-q", "../work", "+refs/*:refs/*"], b"");
        std::fs::copy(dir.path().join("work/.git/HEAD"), bare.join("HEAD")).expect("copy HEAD");
        for args in [&["repack", "-adq"][..], &["pack-refs", "--all"]] {
            run(&bare, &[&["git"], args].concat(), b"");
        }
        for key in ["allowFilter", "allowRefInWant", "allowSidebandAll", "allowReachableSHA1InWant"]
        {
            run(&bare, &["git", "config", &format!("uploadpack.{key}"), "true"], b"");
        }
        let store = Store::open(&bare).expect("git's repository opens");
        Self { snapshot: store.snapshot(), dir }
    }

    /// Runs git in the work tree.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let args = [&["git"], args].concat();
        String::from_utf8(run(&self.dir.path().join("work"), &args, b""))
            .expect("text")
            .trim()
            .into()
    }

    /// What `git upload-pack` answers.
    pub(crate) fn theirs(&self, version: Version, mode: Mode, request: &[u8]) -> Vec<u8> {
        let mut command = Command::new("git");
        let protocol = format!("version={}", version as u8);
        clean(&mut command).current_dir(self.dir.path()).env("GIT_PROTOCOL", protocol);
        command.arg("upload-pack").arg("--strict");
        match mode {
            Mode::Stateful => {}
            Mode::Advertise => drop(command.arg("--http-backend-info-refs")),
            Mode::Request => drop(command.arg("--stateless-rpc")),
        }
        feed(command.arg("bare.git"), request).0
    }

    /// What we answer, and how it ended.
    pub(crate) async fn ours(
        &self,
        version: Version,
        mode: Mode,
        request: &[u8],
    ) -> (Vec<u8>, Result<(), Error>) {
        let limits = Limits { wants: 100, haves: 100, ..Limits::default() };
        let pools = Pools { cpu: Pool::new(2), io: Pool::new(2) };
        let context = upload::Context { limits, pools };
        let snapshot = Arc::clone(&self.snapshot);
        let company = Company { every: Duration::from_secs(60), progress: watch::channel(None).1 };
        let mut refresh = Refresh::new(None, company, move || {
            let snapshot = Arc::clone(&snapshot);
            Box::pin(async move { Ok(snapshot) })
        });
        let session = Session {
            id: SessionId::next(),
            door: Door::Git,
            peer: "test".into(),
            service: Service::UploadPack,
            repo: RepoName::parse("bare").expect("a name"),
            version,
            mode,
        };
        let (output, mut answer) = tokio::io::duplex(1 << 16);
        let input = std::io::Cursor::new(request.to_vec());
        let mut client = Client::new(Box::new(input), Box::new(output), Duration::from_secs(60));
        let serve = async {
            let served = upload::serve(&session, &mut client, &mut refresh, &context).await;
            if let Err(error) = &served {
                client.tell(&error.to_string()).await.expect("the client hears it");
            }
            client.finish(false).await.expect("the client listens");
            served.map(drop)
        };
        let mut got = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut answer, &mut got);
        let (served, read) = tokio::join!(serve, read);
        read.expect("an answer");
        (got, served)
    }

    /// The objects of a pack, as `git index-pack` names them; thin packs find their bases here.
    pub(crate) fn objects(&self, pack: &[u8]) -> Vec<String> {
        let scratch = TempDir::new_in(self.dir.path()).expect("a temporary directory");
        let bare = self.dir.path().join("bare.git");
        let file = scratch.path().join("a.pack");
        let out = file.display().to_string();
        run(&bare, &["git", "index-pack", "--stdin", "--fix-thin", &out], pack);
        let index = std::fs::File::open(file.with_extension("idx")).expect("an index");
        let mut show = Command::new("git");
        let output = clean(&mut show).current_dir(&bare).arg("show-index").stdin(index).output();
        let listing = String::from_utf8(output.expect("git runs").stdout).expect("text");
        // behind the pack's own end lie the bases that were added to complete a thin one
        let end = pack.len() as u64 - 20;
        let mut objects: Vec<String> = listing
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(offset, _)| offset.parse::<u64>().is_ok_and(|offset| offset < end))
            .filter_map(|(_, rest)| rest.split(' ').next().map(Into::into))
            .collect();
        objects.sort();
        objects
    }
}

/// One packet.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::encode(&mut out, text.as_ref());
    out
}

fn clean(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["AUTHOR", "COMMITTER"].iter().flat_map(|who| {
            [(format!("GIT_{who}_NAME"), "T"), (format!("GIT_{who}_EMAIL"), "t@example.org")]
        }))
}

fn run(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(args[0]);
    let (out, good) = feed(clean(&mut command).current_dir(dir).args(&args[1..]), input);
    assert!(good, "{args:?} failed");
    out
}

fn feed(command: &mut Command, input: &[u8]) -> (Vec<u8>, bool) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // a server that has said its last word does not read on
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    feeder.join().expect("the feeder ends");
    (output.stdout, output.status.success())
}
