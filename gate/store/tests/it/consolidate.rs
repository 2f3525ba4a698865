//! Merging packs: fewer files, the same objects, and nobody notices.

use std::sync::atomic::{AtomicBool, Ordering};

use gate_store::{CommitError, Interrupt, MAX_PACKS, PackRequest, Store};

use crate::gate::Gate;
use crate::mirror::{Client, Mirror, pack};
use crate::support::{FORMATS, Repo, git};

/// A mirror that was fetched `times` times by stock git, each time into one more pack.
fn fetched(repo: &Repo, times: usize) -> Mirror {
    let mut mirror = Mirror::of(repo);
    for n in 0..times {
        repo.write("late.txt", format!("{n}\n"));
        repo.write(
            "a/long.txt",
            format!(
                "{}\n{n}",
                std::fs::read_to_string(repo.path().join("a/long.txt")).expect("text")
            ),
        );
        repo.commit("late");
        mirror.fetch();
    }
    mirror = mirror.reopen();
    assert_eq!(mirror.snapshot().packs().packs().len(), times + 1);
    mirror
}

#[test]
fn many_packs_become_few_and_old_snapshots_still_read() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(40);
        let mirror = fetched(&repo, MAX_PACKS + 3);
        let before = mirror.snapshot();
        let tip = repo.id("HEAD");
        let all = PackRequest { wants: vec![tip], ofs_delta: true, ..PackRequest::default() };

        let done = mirror.store.consolidate(&Interrupt::default()).expect("consolidated");
        assert!(done.merged >= MAX_PACKS && done.dropped == 0, "{done:?}");
        let after = mirror.snapshot();
        assert!(after.is_exact() && after.packs().packs().len() < 4);
        assert_eq!(mirror.all_objects(), mirror.objects(&["--all"]));
        git(&mirror.path(), &["fsck", "--full", "--strict"]);
        for snapshot in [&before, &after] {
            let client = Client::new(format);
            client.take(&pack(snapshot, all.clone()));
            assert_eq!(client.objects(), mirror.objects(&["--all"]));
        }
        assert_eq!(
            mirror.store.consolidate(&Interrupt::default()).expect("nothing to do").merged,
            0
        );
        assert!(mirror.reopen().snapshot().is_exact());
    }
}

#[test]
fn what_no_ref_reaches_goes_away() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(40);
        let mut mirror = fetched(&repo, 5);
        let lost = repo.id("HEAD");
        repo.git(&["reset", "-q", "--hard", "HEAD~3"]);
        repo.write("other.txt", "other\n");
        repo.commit("other");
        mirror.fetch();
        mirror = mirror.reopen();
        let snapshot = mirror.snapshot();
        let interrupt = Interrupt::default();
        assert!(snapshot.packs().contains(&lost) && !snapshot.is_exact());
        assert!(!snapshot.reachable(&lost, &interrupt).expect("readable"));
        assert!(snapshot.reachable(&repo.id("HEAD~2:a/long.txt"), &interrupt).expect("readable"));

        let done = mirror.store.consolidate(&interrupt).expect("consolidated");
        assert!(done.dropped >= 9, "{done:?}");
        assert_eq!(mirror.all_objects(), mirror.objects(&["--all"]));
        assert!(mirror.snapshot().is_exact());
        assert!(!mirror.snapshot().reachable(&lost, &interrupt).expect("readable"));
        git(&mirror.path(), &["fsck", "--full", "--strict"]);
    }
}

#[test]
fn what_a_crash_left_twice_is_merged() {
    let format = FORMATS[0];
    let repo = Repo::init(format).with_history(40);
    let mirror = fetched(&repo, 3);
    git(&mirror.path(), &["repack", "-aq"]);
    let mirror = mirror.reopen();
    mirror.store.consolidate(&Interrupt::default()).expect("consolidated");
    assert!(mirror.snapshot().is_exact());
    let client = Client::new(format);
    let wants: Vec<_> = mirror.snapshot().refs().iter().map(|entry| entry.target).collect();
    client.take(&pack(
        &mirror.snapshot(),
        PackRequest { wants, ofs_delta: true, ..PackRequest::default() },
    ));
    assert_eq!(client.objects(), mirror.objects(&["--all"]));
}

#[test]
fn an_interrupted_merge_changes_nothing() {
    let repo = Repo::init(FORMATS[0]).with_history(10);
    let mirror = fetched(&repo, MAX_PACKS + 1);
    let interrupt = Interrupt::default();
    interrupt.set();
    assert!(mirror.store.consolidate(&interrupt).is_err());
    let path = mirror.path();
    assert_eq!(mirror.snapshot().packs().packs().len(), MAX_PACKS + 2);
    drop(mirror.store);
    assert_eq!(
        Store::open(&path).expect("a store").snapshot().packs().packs().len(),
        MAX_PACKS + 2
    );
}

#[test]
fn refs_may_move_while_packs_are_merged() {
    let repo = Repo::init(FORMATS[0]).with_history(10);
    let gate = Gate::mirror(&repo);
    let done = AtomicBool::new(false);
    let dropped = std::thread::scope(|scope| {
        let merging = scope.spawn(|| {
            let mut dropped = 0;
            while !done.load(Ordering::Relaxed) {
                dropped +=
                    gate.store.consolidate(&Interrupt::default()).expect("consolidated").dropped;
            }
            dropped
        });
        for n in 0..40 {
            if n % 3 == 0 {
                repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
            }
            repo.write("a/moving.txt", format!("{n}\n"));
            repo.commit("moved");
            if n % 7 == 0 {
                repo.git(&["branch", "-f", "side"]);
            }
            match gate.refresh(&repo) {
                // What the fetch was to build upon is gone: the next one brings it.
                Err(CommitError::Moved | CommitError::Unconnected { .. }) => {}
                refreshed => drop(refreshed.expect("refreshed")),
            }
        }
        done.store(true, Ordering::Relaxed);
        merging.join().expect("no panic")
    });
    gate.refresh(&repo).expect("refreshed");
    gate.store.consolidate(&Interrupt::default()).expect("consolidated");
    assert!(dropped > 0);
    gate.fsck();
    let gate = gate.reopen();
    let client = Client::new(FORMATS[0]);
    let wants = gate.store.snapshot().refs().iter().map(|entry| entry.target).collect();
    client.take(&pack(
        &gate.store.snapshot(),
        PackRequest { wants, ofs_delta: true, ..PackRequest::default() },
    ));
    assert_eq!(client.objects(), repo.objects(&["main", "side"]).into_iter().collect());
}
