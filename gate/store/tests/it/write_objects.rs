//! The pack that goes to the origin, judged by an origin that has just what the refs reach.

use std::collections::BTreeSet;

use gate_store::{Connected, Interrupt, PackOptions, write_objects};
use proto::ObjectId;

use crate::gate::Gate;
use crate::mirror::Client;
use crate::support::{FORMATS, Repo};

fn pack(connected: &Connected, thin: bool, ofs_delta: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let options = PackOptions { thin, ofs_delta };
    let interrupt = Interrupt::default();
    let written =
        write_objects(connected, options, &mut out, &interrupt, &mut |_| {}).expect("a pack");
    assert_eq!((written.objects, written.bytes), (connected.len(), out.len() as u64));
    out
}

/// Checks every form of the pack: an origin that holds `old` takes it, and it holds exactly what is new.
fn check(connected: &Connected, repo: &Repo, old: &[&str], tip: ObjectId) {
    let all = repo.objects(&["--all", &tip.to_hex()]);
    let new: BTreeSet<_> = all.into_iter().filter(|id| connected.is_new(id)).collect();
    assert_eq!(new.len() as u64, connected.len());
    for ofs_delta in [true, false] {
        let origin = Client::new(repo.format);
        origin.take(&repo.pack(&[], &old.join("\n")));
        origin.take_thin(&pack(connected, true, ofs_delta));
        origin.is_whole(&[tip]);
        let alone = Client::new(repo.format);
        alone.take_partial(&pack(connected, false, ofs_delta));
        assert_eq!(alone.objects(), new);
    }
}

#[test]
fn holds_exactly_what_is_new_whatever_the_client_sent() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(30);
        let gate = Gate::mirror(&repo);
        let stray = repo.commit("stray");
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        repo.write("b/new.txt", "new\n".repeat(50));
        repo.git(&["mv", "a/long.txt", "c.txt"]);
        repo.commit("move");
        repo.git(&["checkout", "-q", "-b", "side", "main~5"]);
        repo.write("a/long.txt", "other\n".repeat(80));
        repo.commit("side");
        repo.git(&["checkout", "-q", "main"]);
        repo.git(&["merge", "-q", "-s", "ours", "-m", "merge", "side"]);
        repo.git(&["tag", "-a", "-m", "t", "v1"]);
        let tip = repo.id("v1");
        for pushed in
            [repo.pack(&["--thin"], "v1\n^main~2\n"), repo.pack(&[], &format!("v1\n{stray}\n"))]
        {
            let connected = gate.pushed(&pushed, &[tip]).expect("whole");
            check(&connected, &repo, &["main~2"], tip);
        }
    }
}

#[test]
fn a_small_edit_is_a_small_pack() {
    let repo = Repo::init(FORMATS[0]).with_history(30);
    let gate = Gate::mirror(&repo);
    let text = std::fs::read_to_string(repo.path().join("a/long.txt")).expect("text");
    repo.write("a/long.txt", text.replace("line 50 ", "line fifty "));
    let tip = repo.commit("edit");
    let connected = gate.pushed(&repo.pack(&[], "main\n^main~1\n"), &[tip]).expect("whole");
    assert!(pack(&connected, true, true).len() < 700, "{}", pack(&connected, true, true).len());
    check(&connected, &repo, &["main~1"], tip);
}

#[test]
fn builds_upon_nothing_the_origin_has_forgotten() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(20);
        let text = std::fs::read_to_string(repo.path().join("a/long.txt")).expect("text");
        repo.write("a/long.txt", format!("{text}\nlost\n"));
        repo.commit("lost");
        let gate = Gate::mirror(&repo);
        repo.git(&["branch", "-q", "lost"]);
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        let forgotten = Repo::init(format);
        forgotten.git(&[
            "fetch",
            "-q",
            &repo.path().to_string_lossy(),
            "main:refs/heads/main",
            "--update-head-ok",
        ]);
        gate.refresh(&forgotten).expect("the origin has moved back");
        repo.write("a/long.txt", format!("{text}\nlost\nand found\n"));
        let tip = repo.commit("found");
        // Thin against the lost branch, which the store still holds.
        let pushed = repo.pack(&["--thin"], "main\n^lost\n");
        let connected = gate.pushed(&pushed, &[tip]).expect("whole");
        check(&connected, &repo, &["main~1"], tip);
    }
}

#[test]
fn the_first_push_is_everything() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(10);
        let tip = repo.id("main");
        let gate = Gate::empty(format);
        let connected = gate.pushed(&repo.pack(&[], "main\n"), &[tip]).expect("whole");
        let origin = Client::new(format);
        origin.take(&pack(&connected, true, true));
        assert_eq!(origin.objects(), repo.objects(&["--all"]).into_iter().collect());
    }
}
