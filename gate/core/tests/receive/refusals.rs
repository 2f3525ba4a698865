//! Every way to refuse a push: what the client reads, whole, and that nothing came of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use gate_core::scan::Options;
use proto::{ObjectId, pktline};

use crate::kit::Kit;
use crate::scanner::{options, token};
use crate::support::git;

type Make = fn(&Kit) -> Vec<u8>;

/// A push of one small commit.
fn good(kit: &Kit) -> Vec<u8> {
    kit.change("good", "good\n").1
}

fn to(kit: &Kit, name: &str) -> Vec<u8> {
    let new = kit.change("good", "good\n").0;
    kit.request(&[(None, Some(new), name)], &kit.repos.pack(""))
}

fn with_pack(kit: &Kit, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let old = kit.repos.at_origin("refs/heads/main");
    let new = kit.change("good", "good\n").0;
    let mut pack = kit.repos.pack("");
    edit(&mut pack);
    kit.request(&[(old, Some(new), "refs/heads/main")], &pack)
}

/// What `git` answers to this input in the work tree.
fn feed(kit: &Kit, args: &[&str], input: &str) -> String {
    let mut child = git(&kit.repos.root().join("work"), args);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("write");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout)
        .expect("text")
        .trim()
        .to_owned()
}

fn malformed(kit: &Kit) -> Vec<u8> {
    let old = kit.repos.at_origin("refs/heads/main");
    let blob = feed(kit, &["hash-object", "-w", "--stdin"], "x\n");
    let tree = feed(kit, &["mktree"], &format!("100644 blob {blob}\t.git\n"));
    let commit = kit.repos.work(&["commit-tree", "-p", "HEAD", "-m", "malformed", &tree]);
    let pack = feed_pack(kit, &format!("{commit}\n{tree}\n{blob}\n"));
    kit.request(&[(old, ObjectId::from_hex(commit.as_bytes()), "refs/heads/main")], &pack)
}

/// A pack of just these objects.
fn feed_pack(kit: &Kit, ids: &str) -> Vec<u8> {
    let mut child = git(&kit.repos.root().join("work"), &["pack-objects", "--stdout", "-q"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
    child.stdin.take().expect("piped").write_all(ids.as_bytes()).expect("write");
    child.wait_with_output().expect("it ends").stdout
}

fn incomplete(kit: &Kit) -> Vec<u8> {
    let old = kit.repos.at_origin("refs/heads/main");
    let new = kit.change("good", "good\n").0;
    let pack = feed_pack(kit, &format!("{new}\n"));
    kit.request(&[(old, Some(new), "refs/heads/main")], &pack)
}

/// Two push options of 21 bytes each as they are sent.
fn with_options(kit: &Kit) -> Vec<u8> {
    let new = kit.change("good", "good\n").0.to_hex();
    let mut request = Vec::new();
    let zero = "0".repeat(40);
    for line in [
        &*format!("{zero} {new} refs/heads/a\0 report-status side-band-64k push-options\n"),
        "",
        "merge_request.new",
        "merge_request.new",
        "",
    ] {
        match line {
            "" => request.extend(b"0000"),
            line => pktline::encode(&mut request, line.as_bytes()),
        }
    }
    request.extend(kit.repos.pack(""));
    request
}

const CASES: [(&str, &str, Make); 20] = [
    ("a name that is none", "", |kit| to(kit, "refs/heads/a..b")),
    ("a hidden ref", "", |kit| to(kit, "refs/pull/1/head")),
    ("a ref that is there already", "", |kit| to(kit, "refs/heads/main")),
    ("a ref named twice", "", |kit| {
        let new = kit.change("good", "good\n").0;
        let twice = (None, Some(new), "refs/heads/a");
        kit.request(&[twice, twice], &kit.repos.pack(""))
    }),
    (
        "a ref that policy lets nobody make",
        "[[policy.ref]]\nname = \"refs/heads/a\"\ncreate = false\n",
        |kit| to(kit, "refs/heads/a"),
    ),
    (
        "push options that fit, and that the origin does not take",
        "[limits]\npush_options = \"42B\"\n",
        with_options,
    ),
    ("push options that are too long", "[limits]\npush_options = \"41B\"\n", with_options),
    ("no pack", "", |kit| with_pack(kit, Vec::clear)),
    ("half a pack", "", |kit| with_pack(kit, |pack| pack.truncate(pack.len() / 2))),
    ("a pack with a wrong byte", "", |kit| {
        with_pack(kit, |pack| {
            let middle = pack.len() / 2;
            pack[middle] ^= 0xff;
        })
    }),
    ("no pack but something else", "", |kit| {
        with_pack(kit, |pack| *pack = b"GIF89a, say".to_vec())
    }),
    ("a commit without its tree", "", incomplete),
    ("a malformed object", "", malformed),
    ("a pack that is too large", "[limits]\npack = \"1KiB\"\n", |kit| {
        kit.change("noise", &crate::scanner::random("noise", 5000, crate::scanner::ALNUM)).1
    }),
    ("an object that is too large", "[limits]\nobject = \"1KiB\"\n", |kit| {
        kit.change("large", &"large\n".repeat(1000)).1
    }),
    ("a secret", "", |kit| kit.change("conf.py", &format!("T = '{}'\n", token("receive"))).1),
    ("a protected path", "[policy]\nprotected_paths = [\"ci/*\"]\n", |kit| {
        kit.change("ci/job", "on: push\n").1
    }),
    ("a file larger than policy allows", "[policy]\nmax_file_size = \"1KiB\"\n", |kit| {
        kit.change("large", &"large\n".repeat(1000)).1
    }),
    ("an author whom policy does not know", "[policy]\nauthor_emails = [\"*@else.where\"]\n", good),
    ("an origin that declines", "", |kit| {
        kit.repos.hook("pre-receive", "echo 'not today' >&2; exit 1");
        good(kit)
    }),
];

#[tokio::test]
async fn each_refusal_reads_as_it_is_and_leaves_nothing() {
    let mut texts = String::new();
    for (what, config, make) in CASES {
        let kit = Kit::new(config).await;
        let request = make(&kit);
        let before = kit.origin_state();
        let (told, served) = kit.push(&request).await;
        kit.quiet().await;
        writeln!(texts, "== {what}").expect("to memory");
        told.remote.lines().for_each(|line| writeln!(texts, "remote: {line}").expect("to memory"));
        told.report.iter().for_each(|line| writeln!(texts, "{line}").expect("to memory"));
        told.fatal.lines().for_each(|line| writeln!(texts, "fatal: {line}").expect("to memory"));
        assert_eq!(kit.origin_state(), before, "{what}");
        assert!(served.is_err() || served.is_ok_and(|pushed| pushed.ok == 0), "{what}");
        kit.nothing_is_left(what);
    }
    insta::assert_snapshot!(texts);
}

#[tokio::test]
async fn a_gate_without_its_scanner_or_its_folder_takes_nothing() {
    let missing = Options { gitleaks: PathBuf::from("/nowhere/gitleaks"), ..options() };
    let kit = Kit::with("", missing).await;
    let (request, before) = (good(&kit), kit.origin_state());
    let told = kit.push(&request).await.0;
    let public = "push refused: the scanner is missing or can't be used, so this push could not be scanned; nothing was sent to the origin\n";
    assert_eq!(
        (told.remote.as_str(), told.report[1].as_str()),
        (public, "ng refs/heads/main could not be scanned")
    );
    assert_eq!(kit.origin_state(), before);

    let kit = Kit::new("").await;
    let (request, before) = (good(&kit), kit.origin_state());
    std::fs::remove_dir(kit.quarantine()).expect("it is empty");
    std::fs::write(kit.quarantine(), "no directory").expect("block it");
    let told = kit.push(&request).await.0;
    assert!(
        told.remote.starts_with("push refused: internal error of the gate, session "),
        "{told:?}"
    );
    assert_eq!(told.report, ["unpack ok", "ng refs/heads/main internal error of the gate"]);
    assert!(!told.remote.contains("mirror"), "no path is told: {told:?}");
    assert_eq!(kit.origin_state(), before);
}

#[tokio::test]
async fn after_a_refusal_the_mended_push_lands() {
    let kit = Kit::new("").await;
    let before = kit.repos.id("HEAD");
    let (_, bad) = kit.change("conf.py", &format!("T = '{}'\n", token("mended")));
    assert_eq!(kit.push(&bad).await.1.expect("an outcome").ok, 0);
    kit.repos.work(&["reset", "-q", "--hard", &before.to_hex()]);
    kit.repos.work(&["reflog", "expire", "--expire=now", "--all"]);
    let (new, good) = kit.change("conf.py", "T = 'from the environment'\n");
    let (told, served) = kit.push(&good).await;
    assert_eq!(served.expect("an outcome").ok, 1, "{told:?}");
    assert_eq!(told.report, ["unpack ok", "ok refs/heads/main"]);
    assert_eq!(kit.repos.at_origin("refs/heads/main"), Some(new));
}
