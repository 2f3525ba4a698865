//! Long silences carry how far things are: each step says its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gate_core::receive;
use gate_core::scan::{Item, NewObjects, Options, Progress, Scanner, Stop};
use gate_core::session::Mode;
use gate_store::Interrupt;
use proto::ObjectId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

use crate::kit::Kit;
use crate::scanner::{gitleaks, options};

/// Reads what a client is shown until `word` is in it.
async fn heard(theirs: &mut DuplexStream, word: &str) -> String {
    let (mut all, mut piece) = (Vec::new(), vec![0; 4096]);
    while !String::from_utf8_lossy(&all).contains(word) {
        let read = theirs.read(&mut piece).await.expect("the gate speaks");
        assert_ne!(read, 0, "it ended without saying {word}: {}", String::from_utf8_lossy(&all));
        all.extend(&piece[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[tokio::test]
async fn a_pack_that_comes_slowly_is_told_in_percent() {
    let kit = Kit::new("").await;
    let (new, request) = kit.change("file", "slow\n");
    let (session, mut client, mut theirs) = kit.session(Mode::Stateful);
    let talk = async {
        heard(&mut theirs, "0000").await;
        theirs.write_all(&request[..request.len() - 30]).await.expect("most of it");
        let said = heard(&mut theirs, "indexing").await;
        assert!(said.contains(" %\r"), "{said}");
        theirs.write_all(&request[request.len() - 30..]).await.expect("the rest");
        heard(&mut theirs, "ok refs/heads/main").await;
    };
    let (served, ()) = tokio::join!(receive::serve(&session, &mut client, &kit.context), talk);
    assert_eq!(served.expect("an outcome").ok, 1);
    assert_eq!(kit.repos.at_origin("refs/heads/main"), Some(new));
}

#[tokio::test]
async fn a_scan_that_takes_long_is_told_in_megabytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let go = dir.path().join("go");
    fifo(&go);
    // A scanner that reads a part of its patch, and the rest when it is told to.
    let script = format!(
        "#!/bin/sh\nREAL={}\n[ \"$1\" = version ] && exec \"$REAL\" version\nread -r x <{}\nexec \"$REAL\" \"$@\"\n",
        gitleaks().display(),
        go.display()
    );
    let file = dir.path().join("gitleaks");
    let binary = std::fs::read(gitleaks()).expect("read it");
    std::fs::write(&file, [script.as_bytes(), &binary].concat()).expect("write it");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("make it run");
    let kit = Kit::with("", Options { gitleaks: file, ..options() }).await;
    let text: String = (0..110_000).map(|n| format!("line {n} of a long text\n")).collect();
    let (_, request) = kit.change("text", &text);
    let (session, mut client, mut theirs) = kit.session(Mode::Stateful);
    let talk = async {
        heard(&mut theirs, "0000").await;
        theirs.write_all(&request).await.expect("all of it");
        let said = heard(&mut theirs, "of 3 MB\r").await;
        assert!(said.contains("scanning 0 of 3 MB"), "{said}");
        tokio::fs::write(&go, "x\n").await.expect("go on");
        heard(&mut theirs, "ok refs/heads/main").await;
    };
    let (served, ()) = tokio::join!(receive::serve(&session, &mut client, &kit.context), talk);
    assert_eq!(served.expect("an outcome").ok, 1);
}

/// What keeps a scanner busy until it is called off.
struct Endless;

impl NewObjects for Endless {
    fn bytes(&self) -> u64 {
        0
    }

    fn each(
        &self,
        _: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        (0_u64..).try_for_each(|n| {
            let raw = [[0; 12].as_slice(), &n.to_be_bytes()].concat();
            let id = ObjectId::from_raw(&raw).expect("twenty bytes");
            visit(Item::Blob { id, path: "x".into(), commit: None })
        })
    }

    fn size(&self, _: &ObjectId) -> Result<u64, Stop> {
        Ok(5)
    }

    fn write(&self, _: &ObjectId, out: &mut dyn std::io::Write) -> Result<(), Stop> {
        out.write_all(b"text\n").map_err(Stop::Feed)
    }
}

#[tokio::test]
async fn a_push_that_waits_for_a_scanner_hears_where_it_stands() {
    let mut kit = Kit::new("").await;
    let scanner = Scanner::new(Options { scanners: 1, ..options() });
    kit.context.scanner = scanner.clone();
    let (progress, mut seen) = watch::channel(Progress::Idle);
    let busy = tokio::spawn(scanner.start().scan(Arc::new(Endless), progress));
    seen.wait_for(|now| matches!(now, Progress::Scanning { .. })).await.expect("it scans");
    let (_, request) = kit.change("file", "waits\n");
    let (session, mut client, mut theirs) = kit.session(Mode::Stateful);
    let talk = async {
        heard(&mut theirs, "0000").await;
        theirs.write_all(&request).await.expect("all of it");
        heard(&mut theirs, "waiting for a scanner, 0 pushes ahead\r").await;
        busy.abort();
        heard(&mut theirs, "ok refs/heads/main").await;
    };
    let (served, ()) = tokio::join!(receive::serve(&session, &mut client, &kit.context), talk);
    assert_eq!(served.expect("an outcome").ok, 1);
}

#[tokio::test]
async fn an_origin_that_takes_its_time_is_named() {
    let kit = Kit::new("").await;
    let go = kit.repos.root().join("go");
    fifo(&go);
    kit.repos
        .hook("pre-receive", &format!("echo 'thinking it over' >&2; read -r x <{}", go.display()));
    let (new, request) = kit.change("file", "slow\n");
    let (session, mut client, mut theirs) = kit.session(Mode::Stateful);
    let talk = async {
        heard(&mut theirs, "0000").await;
        theirs.write_all(&request).await.expect("all of it");
        let said = heard(&mut theirs, "sending to origin\r").await;
        assert!(
            said.contains("thinking it over"),
            "the origin's words come as they are said: {said}"
        );
        tokio::fs::write(&go, "x\n").await.expect("go on");
        heard(&mut theirs, "ok refs/heads/main").await;
    };
    let (served, ()) = tokio::join!(receive::serve(&session, &mut client, &kit.context), talk);
    assert_eq!(served.expect("an outcome").ok, 1);
    assert_eq!(kit.repos.at_origin("refs/heads/main"), Some(new));
}
