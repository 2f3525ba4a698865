//! A gate's receiving half between a client in memory and an origin of stock git's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gate_config::Config;
use gate_core::blocking::{Pool, Pools, run};
use gate_core::receive::{self, Context, Pushed};
use gate_core::scan::{Options, Scanner};
use gate_core::session::{Door, Mode, Session, SessionId};
use gate_core::{Client, Error, Mirror, mirror};
use proto::{ObjectId, Service, Version, pktline};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::task::TaskTracker;

use crate::scanner::options;
use crate::support::{Repos, Spawn};

pub(crate) struct Kit {
    pub(crate) repos: Repos,
    pub(crate) context: Context,
}

/// What a client was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Band 2, as it is printed after `remote: `.
    pub(crate) remote: String,
    /// The report's lines.
    pub(crate) report: Vec<String>,
    /// Band 3 and `ERR` packets.
    pub(crate) fatal: String,
}

impl Kit {
    /// With one commit on `main`, which is mirrored.
    pub(crate) async fn new(config: &str) -> Self {
        Self::with(config, options()).await
    }

    pub(crate) async fn with(config: &str, options: Options) -> Self {
        let repos = Repos::new();
        let config = format!("data = \"/unused\"\n{config}");
        let config = Arc::new(Config::from_toml(&config).expect("a config"));
        // One permit each: whoever gets it next comes after all that was under way.
        let pools = Pools { cpu: Pool::new(1), io: Pool::new(1) };
        let around = mirror::Context {
            dial: Arc::new(Spawn),
            limits: config.limits.clone(),
            fetch: Pool::new(1),
            cpu: pools.cpu.clone(),
            background: Pool::new(1),
        };
        let mirror = Mirror::open(repos.root().join("mirror.git"), repos.rule(), around);
        mirror.refresh().await.expect("mirrored");
        let context = Context {
            config,
            rule: Arc::new(repos.rule()),
            mirror,
            dial: Arc::new(Spawn),
            pools,
            scanner: Scanner::new(options),
            tails: TaskTracker::new(),
        };
        Self { repos, context }
    }

    /// Commands with their capabilities, and the pack behind them.
    pub(crate) fn request(
        &self,
        commands: &[(Option<ObjectId>, Option<ObjectId>, &str)],
        pack: &[u8],
    ) -> Vec<u8> {
        let hex = |id: &Option<ObjectId>| id.map_or("0".repeat(40), |id| id.to_hex());
        let mut request = Vec::new();
        for (n, (old, new, name)) in commands.iter().enumerate() {
            let capabilities =
                if n == 0 { "\0 report-status side-band-64k delete-refs ofs-delta" } else { "" };
            pktline::encode(
                &mut request,
                format!("{} {} {name}{capabilities}\n", hex(old), hex(new)).as_bytes(),
            );
        }
        request.extend(b"0000");
        request.extend(pack);
        request
    }

    /// A new commit of one file, and the push of it to `main`.
    pub(crate) fn change(&self, file: &str, content: &str) -> (ObjectId, Vec<u8>) {
        let old = self.repos.at_origin("refs/heads/main");
        std::fs::create_dir_all(self.repos.root().join("work").join(file).parent().expect("below"))
            .expect("mkdir");
        std::fs::write(self.repos.root().join("work").join(file), content).expect("write");
        self.repos.work(&["add", file]);
        self.repos.work(&["commit", "-q", "-m", &format!("change {file}")]);
        let new = self.repos.id("HEAD");
        let pack = self.repos.pack(&old.map_or(String::new(), |old| format!("^{old}\n")));
        (new, self.request(&[(old, Some(new), "refs/heads/main")], &pack))
    }

    /// The session, and the client's end of it.
    pub(crate) fn session(&self, mode: Mode) -> (Session, Client, DuplexStream) {
        let session = Session {
            id: SessionId::next(),
            door: Door::Git,
            peer: "test".into(),
            service: Service::ReceivePack,
            repo: self.context.rule.name.clone(),
            version: Version::V0,
            mode,
        };
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(ours);
        let client = Client::new(Box::new(input), Box::new(output), Duration::from_secs(60));
        (session, client, theirs)
    }

    /// Sends a whole request and hears the whole answer.
    pub(crate) async fn push(&self, request: &[u8]) -> (Told, Result<Pushed, Error>) {
        let (session, mut client, theirs) = self.session(Mode::Request);
        let serve = async {
            let served = receive::serve(&session, &mut client, &self.context).await;
            if let Err(error) = &served {
                client.tell(&error.to_string()).await.expect("the client hears it");
            }
            client.finish(false).await.expect("the client listens");
            served
        };
        let (mut from, mut to) = tokio::io::split(theirs);
        let send = async {
            // a gate that has said no may not take all of it
            drop(to.write_all(request).await);
            drop(to.shutdown().await);
        };
        let mut answer = Vec::new();
        let (served, (), read) = tokio::join!(serve, send, from.read_to_end(&mut answer));
        read.expect("an answer");
        (Told::read(&answer), served)
    }

    /// Waits for all that was under way when a session went away.
    pub(crate) async fn quiet(&self) {
        self.context.tails.close();
        self.context.tails.wait().await;
        self.context.tails.reopen();
        run(&self.context.pools.io, |_| ()).await;
        run(&self.context.pools.cpu, |_| ()).await;
        // What a dropped task had made is dropped by the pool's thread, in its own time.
        let empty = async {
            while std::fs::read_dir(self.quarantine()).is_ok_and(|mut dir| dir.next().is_some()) {
                tokio::task::yield_now().await;
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(10), empty).await);
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.repos.root().join("mirror.git/quarantine")
    }

    /// What no refused or interrupted push may change.
    pub(crate) fn origin_state(&self) -> (String, String) {
        (self.repos.origin(&["for-each-ref"]), self.repos.origin(&["count-objects", "-v"]))
    }

    #[track_caller]
    pub(crate) fn nothing_is_left(&self, what: &str) {
        let left = std::fs::read_dir(self.quarantine()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}: the quarantine is empty");
        crate::support::run(&self.repos.root().join("mirror.git"), &["fsck", "--full", "--strict"]);
    }
}

impl Told {
    fn read(mut answer: &[u8]) -> Self {
        let (mut told, mut report) = (Self::default(), Vec::new());
        let packets = |bytes: &mut &[u8]| -> Vec<Vec<u8>> {
            let mut all = Vec::new();
            while let Some((head, rest)) = bytes.split_at_checked(4) {
                let length = usize::from_str_radix(std::str::from_utf8(head).expect("hex"), 16)
                    .expect("a length");
                let (packet, rest) = rest.split_at(length.saturating_sub(4));
                all.push(packet.to_vec());
                *bytes = rest;
            }
            all
        };
        for packet in packets(&mut answer) {
            match packet.split_first() {
                Some((1, rest)) => report.extend(rest),
                Some((2, rest)) => told.remote.push_str(&String::from_utf8_lossy(rest)),
                Some((3, rest)) => told.fatal.push_str(&String::from_utf8_lossy(rest)),
                Some(_) => told.fatal.push_str(&String::from_utf8_lossy(&packet)),
                None => {}
            }
        }
        let lines = packets(&mut &report[..]);
        told.report = lines
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
            .collect();
        told
    }
}
