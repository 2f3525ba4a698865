//! Changes of a mirror, and what a crash within one leaves.

use gate_store::{Check, CommitError, IndexLimits, Interrupt, RefTable, Store};
use proto::{Head, ObjectFormat, ObjectId};
use std::path::Path;
use std::sync::Arc;

use crate::forge::Forge;
use crate::gate::{Gate, edit, name, refs_of};
use crate::support::{FORMATS, Repo, git, git_bytes, git_output};

#[test]
fn mirrors_what_the_origin_has_and_prunes_what_it_has_not() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(10);
        repo.git(&["tag", "-a", "-m", "one", "v1"]);
        repo.git(&["tag", "-a", "-m", "of a tag", "v2", "v1"]);
        repo.git(&["branch", "a", "main~3"]);
        let gate = Gate::mirror(&repo);
        let snapshot = gate.store.snapshot();
        assert!(snapshot.is_exact());
        assert_eq!(gate.refs(), repo.git(&["for-each-ref", "--format=%(objectname) %(refname)"]));
        let tag = snapshot.refs().get(b"refs/tags/v2").expect("there");
        assert_eq!(tag.peeled, Some(repo.id("main")), "read from the objects");
        gate.fsck();
        // A branch becomes a directory of branches, HEAD moves, a tag goes, a branch is forced.
        repo.git(&["branch", "-D", "-q", "a"]);
        repo.git(&["branch", "a/b", "main~2"]);
        repo.git(&["checkout", "-q", "-b", "trunk"]);
        repo.git(&["branch", "-f", "main", "main~1"]);
        repo.git(&["tag", "-d", "v1"]);
        repo.commit("more");
        let next = gate.refresh(&repo).expect("mirrored");
        assert_eq!(next.generation(), snapshot.generation() + 1);
        assert_eq!(next.head(), Some(&Head::Symbolic(name("refs/heads/trunk"))));
        assert_eq!(gate.refs(), repo.git(&["for-each-ref", "--format=%(objectname) %(refname)"]));
        assert_eq!(git(&gate.path(), &["symbolic-ref", "HEAD"]), "refs/heads/trunk");
        gate.fsck();
        assert_eq!(
            snapshot.refs().get(b"refs/heads/a").expect("as it was").target,
            repo.id("trunk~4")
        );
        let reopened = gate.reopen();
        let again = reopened.store.snapshot();
        assert_eq!((again.refs(), again.head()), (next.refs(), next.head()));
        assert_eq!(again.is_exact(), next.is_exact());
    }
}

#[test]
fn nothing_new_costs_nothing() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let gate = Gate::mirror(&repo);
    let before = gate.store.snapshot();
    let (refs, head) = refs_of(&repo);
    let written = modified(&gate.path().join("packed-refs"));
    let after = gate.store.commit_mirror(None, refs, head, &[], false).expect("nothing to do");
    assert!(Arc::ptr_eq(&before, &after));
    assert_eq!(modified(&gate.path().join("packed-refs")), written);
}

fn modified(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).and_then(|meta| meta.modified()).expect("there")
}

#[test]
fn an_empty_list_prunes_only_if_the_origin_is_proven_empty() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(2);
    let gate = Gate::mirror(&repo);
    let empty = || RefTable::empty(ObjectFormat::Sha1);
    let error = gate.store.commit_mirror(None, empty(), None, &[], false).expect_err("suspicious");
    assert!(matches!(error, CommitError::PruneAll));
    assert_eq!(gate.store.snapshot().refs().len(), 1);
    let head = Some(Head::Symbolic(name("refs/heads/unborn")));
    let snapshot = gate.store.commit_mirror(None, empty(), head.clone(), &[], true).expect("empty");
    assert!(snapshot.refs().is_empty() && snapshot.head() == head.as_ref());
    assert_eq!(snapshot.head_target(), None);
    gate.fsck();
}

#[test]
fn a_ref_to_what_is_not_there_is_refused() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(2);
    let gate = Gate::mirror(&repo);
    repo.commit("not fetched");
    let (refs, head) = refs_of(&repo);
    let error = gate.store.commit_mirror(None, refs, head, &[], false).expect_err("not here");
    assert!(matches!(error, CommitError::Unconnected { id, .. } if id == repo.id("main")));
    let (refs, _) = refs_of(&Repo::init(ObjectFormat::Sha1));
    let head = Some(Head::Detached(repo.id("main")));
    assert!(gate.store.commit_mirror(None, refs, head, &[], true).is_err());
}

#[test]
fn a_detached_head_is_followed() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let gate = Gate::mirror(&repo);
    let (refs, _) = refs_of(&repo);
    let id = repo.id("main~1");
    let head = Some(Head::Detached(id));
    let snapshot = gate.store.commit_mirror(None, refs, head, &[], false).expect("detached");
    assert_eq!(snapshot.head_target(), Some(id));
    assert!(snapshot.is_exact());
    assert_eq!(git(&gate.path(), &["rev-parse", "HEAD"]), id.to_hex());
    gate.fsck();
}

/// A client's commit on top of `main`, ready to be committed.
fn push_on_main(gate: &Gate, repo: &Repo) -> (gate_store::Connected, ObjectId, ObjectId) {
    let old = repo.id("main");
    repo.write("pushed", format!("on {old}"));
    let new = repo.commit("pushed");
    let pack = repo.pack(&["--thin"], "main\n^main~1\n");
    (gate.pushed(&pack, &[new]).expect("whole"), old, new)
}

#[test]
fn takes_a_push_as_one_change() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(10);
        let gate = Gate::mirror(&repo);
        let (connected, old, new) = push_on_main(&gate, &repo);
        let edits = [
            edit("refs/heads/main", Some(old), Some(new)),
            edit("refs/heads/copy", None, Some(new)),
            edit("refs/zz", None, Some(old)),
        ];
        let snapshot = gate.store.commit_push(&connected, &edits).expect("committed");
        assert!(snapshot.is_exact());
        assert_eq!(snapshot.refs().len(), 3);
        assert_eq!(snapshot.head_target(), Some(new));
        gate.fsck();
        let gone = [edit("refs/heads/copy", Some(new), None), edit("refs/zz", Some(old), None)];
        let nothing = gate.pushed(&Forge::new(format).finish(), &[]).expect("whole");
        let snapshot = gate.store.commit_push(&nothing, &gone).expect("committed");
        assert!(snapshot.is_exact(), "main still has it all");
        assert_eq!(gate.refs(), format!("{new} refs/heads/main"));
        gate.fsck();
        assert!(gate.reopen().store.snapshot().is_exact());
    }
}

#[test]
fn what_nobody_reaches_does_not_enter_the_store() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(10);
        let gate = Gate::mirror(&repo);
        repo.write("a/long.txt", "stray");
        let stray = repo.commit("stray");
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        let old = repo.id("main");
        repo.write("x", "x");
        let new = repo.commit("pushed");
        let pack = repo.pack(&["--thin"], &format!("{stray}\nmain\n^main~1\n"));
        let connected = gate.pushed(&pack, &[new]).expect("whole");
        let edits = [edit("refs/heads/main", Some(old), Some(new))];
        let snapshot = gate.store.commit_push(&connected, &edits).expect("committed");
        assert!(snapshot.is_exact());
        assert!(!snapshot.packs().contains(&stray));
        assert!(snapshot.packs().contains(&new));
        let cat = git_output(&gate.path(), &["cat-file", "-e", &stray.to_hex()], b"");
        assert!(!cat.status.success());
        gate.fsck();
    }
}

#[test]
fn a_ref_that_moved_meanwhile_is_left_alone() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    let gate = Gate::mirror(&repo);
    let (connected, old, new) = push_on_main(&gate, &repo);
    // Another push to the same branch came first.
    repo.git(&["reset", "-q", "--hard", &old.to_hex()]);
    repo.write("other", "other");
    let other = repo.commit("other");
    let pack = repo.pack(&[], &format!("{other}\n^{old}\n"));
    let first = gate.pushed(&pack, &[other]).expect("whole");
    let edits = [edit("refs/heads/main", Some(old), Some(other))];
    gate.store.commit_push(&first, &edits).expect("committed");
    let edits =
        [edit("refs/heads/main", Some(old), Some(new)), edit("refs/heads/side", None, Some(new))];
    let snapshot = gate.store.commit_push(&connected, &edits).expect("committed");
    assert_eq!(snapshot.refs().get(b"refs/heads/main").expect("there").target, other);
    assert_eq!(snapshot.refs().get(b"refs/heads/side").expect("there").target, new);
    assert!(snapshot.is_exact());
    gate.fsck();
}

#[test]
fn what_the_origin_refused_stays_outside() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    let gate = Gate::mirror(&repo);
    repo.git(&["checkout", "-q", "-b", "refused"]);
    repo.write("refused", "refused");
    let refused = repo.commit("refused");
    repo.git(&["checkout", "-q", "-b", "taken", "main"]);
    repo.write("taken", "taken");
    let taken = repo.commit("taken");
    let pack = repo.pack(&["--thin"], "refused\ntaken\n^main\n");
    let connected = gate.pushed(&pack, &[refused, taken]).expect("whole");
    let edits = [edit("refs/heads/taken", None, Some(taken))];
    let snapshot = gate.store.commit_push(&connected, &edits).expect("committed");
    assert!(snapshot.packs().contains(&taken) && !snapshot.packs().contains(&refused));
    assert!(snapshot.is_exact());
    gate.fsck();
}

#[test]
fn losing_history_is_noticed_and_moving_it_is_not_loss() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(6);
    repo.git(&["branch", "topic"]);
    let gate = Gate::mirror(&repo);
    repo.git(&["branch", "-m", "topic", "renamed"]);
    assert!(gate.refresh(&repo).expect("renamed").is_exact());
    repo.commit("merged");
    repo.git(&["branch", "-D", "-q", "renamed"]);
    assert!(gate.refresh(&repo).expect("deleted after it was merged").is_exact());
    let lost = repo.id("main");
    repo.git(&["reset", "-q", "--hard", "main~2"]);
    let snapshot = gate.refresh(&repo).expect("forced");
    assert!(!snapshot.is_exact());
    assert!(!snapshot.reachable(&lost, &Interrupt::default()).expect("walked"));
    assert!(!gate.reopen().store.snapshot().is_exact());
}

#[test]
fn a_crash_anywhere_leaves_the_old_state_or_the_new_one() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(8);
    let gate = Gate::mirror(&repo);
    let before = gate.store.snapshot();
    let old_files = files(&gate.path());
    repo.git(&["checkout", "-q", "-b", "trunk"]);
    repo.commit("more");
    let after = gate.refresh(&repo).expect("mirrored");
    let new_files = files(&gate.path());
    let pack = after.packs().packs().last().expect("a pack").path().to_owned();
    let idx = pack.with_extension("idx");
    let at = |file: &str| gate.path().join(file);
    // The order in which the commit makes things durable; a crash may come before each of them.
    let steps = [pack.clone(), idx.clone(), at("packed-refs"), at("HEAD"), at("exact-packs")];
    for done in 0..=steps.len() {
        for (step, path) in steps.iter().enumerate() {
            let state = if step < done { &new_files } else { &old_files };
            match state.iter().find(|(name, _)| name == path) {
                Some((_, bytes)) => {
                    std::fs::remove_file(path).ok();
                    std::fs::write(path, bytes).expect("write");
                }
                None => drop(std::fs::remove_file(path)),
            }
        }
        std::fs::create_dir_all(at("quarantine/9")).expect("mkdir");
        std::fs::write(at("quarantine/9/incoming.pack"), "half").expect("write");
        std::fs::write(at("packed-refs.tmp"), "half").expect("write");
        let store = Store::open(&gate.path()).expect("opens");
        let snapshot = store.snapshot();
        let expected = if done >= 3 { &after } else { &before };
        assert_eq!(snapshot.refs(), expected.refs(), "after {done} steps");
        // Objects without refs are never taken for exact.
        assert_eq!(snapshot.is_exact(), done < 2 || done == 5, "after {done} steps");
        gate.fsck();
        assert!(!at("quarantine/9").exists() && !at("packed-refs.tmp").exists());
        // And the next refresh brings the truth.
        let healed = Gate { dir: tempfile::TempDir::new().expect("dir"), store };
        let healed = healed.refresh(&repo).expect("healed");
        assert_eq!((healed.refs(), healed.head()), (after.refs(), after.head()));
        gate.fsck();
    }
}

#[test]
fn a_shallow_origin_keeps_its_boundary_and_loses_it_only_with_proof() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(9);
    let url = format!("file://{}", repo.path().display());
    repo.git(&["clone", "-q", "--bare", "--depth=3", &url, "origin.git"]);
    let origin = repo.path().join("origin.git");
    let (tip, old) = (repo.id("main"), repo.id("main~2"));
    let pack = git_bytes(&origin, &["pack-objects", "-q", "--stdout", "--revs"], b"main\n");
    let gate = Gate::empty(ObjectFormat::Sha1);
    let (refs, head) = refs_of(&repo);
    let connect = |pack: &[u8], shallow: &[ObjectId]| {
        let (quarantine, _) =
            gate.index(&mut &pack[..], &IndexLimits::NONE, Check::Origin).expect("a pack");
        quarantine.connect(&[tip], shallow, Check::Origin, &Interrupt::default())
    };
    assert!(connect(&pack, &[]).is_err(), "a boundary must be named");
    let connected = connect(&pack, &[old]).expect("whole down to the boundary");
    // One commit of the boundary is not here, and is forgotten.
    let shallow = [old, repo.id("main~5")];
    let commit = |connected, shallow: &[ObjectId]| {
        gate.store.commit_mirror(connected, refs.clone(), head.clone(), shallow, false)
    };
    let snapshot = commit(Some(&connected), &shallow).expect("mirrored");
    assert_eq!(snapshot.shallow(), [old]);
    assert!(snapshot.is_exact());
    gate.fsck();
    assert_eq!(git(&gate.path(), &["rev-list", "--count", "main"]), "3");
    // The origin deepens by two.
    let none = Forge::new(ObjectFormat::Sha1).finish();
    assert!(connect(&none, &[repo.id("main~4")]).is_err(), "the parents did not come");
    let more = format!("{old}~1\n^{old}~3\n");
    let boundary = [repo.id("main~4")];
    let connected = connect(&repo.pack(&[], &more), &boundary).expect("whole");
    assert_eq!(commit(Some(&connected), &boundary).expect("mirrored").shallow(), boundary);
    gate.fsck();
    assert_eq!(git(&gate.path(), &["rev-list", "--count", "main"]), "5");
    // And in the end it has everything.
    let connected = connect(&repo.pack(&[], &format!("{}~1\n", boundary[0])), &[]).expect("whole");
    let snapshot = commit(Some(&connected), &[]).expect("mirrored");
    assert!(snapshot.shallow().is_empty() && snapshot.is_exact());
    assert!(!gate.path().join("shallow").exists());
    gate.fsck();
}

#[test]
fn a_push_whose_ground_was_dropped_meanwhile_is_not_committed() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.write("topic", "topic");
    let old = repo.commit("topic");
    let gate = Gate::mirror(&repo);
    repo.write("pushed", "pushed");
    let new = repo.commit("pushed");
    let connected = gate.pushed(&repo.pack(&[], "topic\n^topic~1\n"), &[new]).expect("whole");
    // The origin deletes the branch, and the mirror drops what it held.
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["branch", "-q", "-D", "topic"]);
    gate.refresh(&repo).expect("pruned");
    gate.store.consolidate(&Interrupt::default()).expect("dropped");
    let edits =
        [edit("refs/heads/topic", Some(old), Some(new)), edit("refs/heads/x", None, Some(new))];
    let before = gate.store.snapshot();
    if before.packs().contains(&old) {
        // Small leftovers may stay for a while; then the push still has its ground.
        gate.store.commit_push(&connected, &edits).expect("committed");
    } else {
        let error = gate.store.commit_push(&connected, &edits).expect_err("no ground");
        assert!(matches!(error, CommitError::Moved));
        assert_eq!(gate.store.snapshot().refs(), before.refs());
    }
    gate.fsck();
}

/// All files of a mirror with their bytes.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("list") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("read");
            all.push((path, bytes));
        }
    }
    all
}
