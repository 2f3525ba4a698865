//! What is new in a push, and that it is whole.

use gate_store::{Check, ConnectError, Connected, Interrupt, IntroducedBy, Kind, hash_object};
use proto::{ObjectFormat, ObjectId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::forge::{BLOB, COMMIT, Forge, TREE};
use crate::gate::{Gate, edit};
use crate::support::{FORMATS, Repo};

/// The new objects, by asking for every object of the repository.
fn new_of(connected: &Connected, repo: &Repo) -> BTreeSet<ObjectId> {
    repo.objects(&["--all"]).into_iter().filter(|id| connected.is_new(id)).collect()
}

/// All visits as `path mode introduced-by`, new ones only.
fn blobs(connected: &Connected) -> Vec<(ObjectId, String, IntroducedBy)> {
    let mut seen = Vec::new();
    let flow = connected
        .blobs(10_000, &Interrupt::default(), &mut |visit| {
            if visit.is_new {
                seen.push((visit.id, visit.path.to_string(), visit.by));
            }
            ControlFlow::Continue(())
        })
        .expect("walked");
    assert!(flow.is_continue());
    seen
}

#[test]
fn new_is_what_the_tips_reach_and_no_ref_does() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(20);
        let gate = Gate::mirror(&repo);
        let old: BTreeSet<_> = repo.objects(&["--all"]).into_iter().collect();
        repo.git(&["checkout", "-q", "-b", "topic"]);
        repo.write("new.txt", "new");
        repo.commit("one");
        repo.write("a/long.txt", "other");
        let tip = repo.commit("two");
        for options in [&["--thin"][..], &[]] {
            let pack = repo.pack(options, "topic\n^main\n");
            let connected = gate.pushed(&pack, &[tip]).expect("whole");
            let all: BTreeSet<_> = repo.objects(&["topic"]).into_iter().collect();
            assert_eq!(new_of(&connected, &repo), &all - &old);
            assert_eq!(connected.len() as usize, (&all - &old).len());
            assert_eq!(connected.commits(), [repo.id("topic~1"), tip]);
        }
        // A client may send more than it must.
        let connected = gate.pushed(&repo.pack(&[], "topic\n"), &[tip]).expect("whole");
        assert_eq!(connected.commits().len(), 2);
    }
}

#[test]
fn an_object_nobody_reaches_is_not_in_it() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let gate = Gate::mirror(&repo);
    let stray = repo.commit("stray");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.write("x", "x");
    let tip = repo.commit("pushed");
    let pack = repo.pack(&[], &format!("{stray}\nmain\n^main~1\n"));
    let connected = gate.pushed(&pack, &[tip]).expect("whole");
    assert!(connected.packs().contains(&stray) && !connected.is_new(&stray));
    assert_eq!(connected.len(), 3);
}

#[test]
fn whatever_is_missing_is_named_with_who_needs_it() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(5);
    let gate = Gate::empty(ObjectFormat::Sha1);
    let tip = repo.id("main");
    let missing = |pack: &[u8]| match gate.pushed(pack, &[tip]).map(|_| ()).expect_err("not whole")
    {
        ConnectError::Missing { id, by, .. } => (id, by),
        other => panic!("{other}"),
    };
    let history = repo.pack(&[], "main\n^main~1\n");
    assert_eq!(missing(&history), (repo.id("main~1"), Some(tip)));
    let objects = |skip: &str| {
        let skip = repo.id(skip);
        let all = repo.objects(&["main"]).into_iter().filter(|id| *id != skip);
        let list: String = all.map(|id| format!("{id}\n")).collect();
        crate::support::git_bytes(repo.path(), &["pack-objects", "-q", "--stdout"], list.as_bytes())
    };
    assert_eq!(missing(&objects("main:a/long.txt")).1, Some(repo.id("main:a")));
    assert_eq!(missing(&objects("main:a")).1, Some(repo.id("main^{tree}")));
    assert_eq!(missing(&objects("main^{tree}")).1, Some(tip));
    assert_eq!(missing(&objects("main")), (tip, None));
}

#[test]
fn an_object_of_another_kind_does_not_do() {
    let format = ObjectFormat::Sha1;
    let blob = hash_object(format, Kind::Blob, b"x").expect("no attack");
    let mut pack = Forge::new(format);
    let tree = [b"40000 dir\0", blob.as_bytes()].concat();
    pack.object(TREE, &tree);
    pack.object(BLOB, b"x");
    let tree = hash_object(format, Kind::Tree, &tree).expect("no attack");
    let (gate, pack) = (Gate::empty(format), pack.finish());
    let error = gate.pushed(&pack, &[tree]).map(|_| ()).expect_err("not a tree");
    assert!(matches!(error, ConnectError::Kind { id, .. } if id == blob), "{error}");

    let repo = Repo::init(format).with_history(2);
    let gate = Gate::mirror(&repo);
    let known = repo.id("main:a/long.txt");
    let text = format!("tree {known}\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\n");
    let mut pack = Forge::new(format);
    pack.object(COMMIT, text.as_bytes());
    let commit = hash_object(format, Kind::Commit, text.as_bytes()).expect("no attack");
    let error = gate.pushed(&pack.finish(), &[commit]).map(|_| ()).expect_err("not a tree");
    assert!(matches!(error, ConnectError::Kind { id, .. } if id == known), "{error}");
}

#[test]
fn what_a_deleted_branch_left_in_the_store_is_new_again() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    repo.git(&["checkout", "-q", "-b", "gone"]);
    repo.write("secret", "s");
    let tip = repo.commit("gone");
    let gate = Gate::mirror(&repo);
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["branch", "-q", "-D", "gone"]);
    let snapshot = gate.refresh(&repo).expect("pruned");
    assert!(!snapshot.is_exact() && snapshot.packs().contains(&tip));
    let connected = gate.pushed(&Forge::new(ObjectFormat::Sha1).finish(), &[tip]).expect("whole");
    assert_eq!(connected.commits(), [tip]);
    assert_eq!(connected.len(), 3);
    assert_eq!(blobs(&connected).len(), 1);
    // Committed, it no longer depends on the pack it was in.
    let edits = [edit("refs/heads/back", None, Some(tip))];
    let next = gate.store.commit_push(&connected, &edits).expect("committed");
    let pack = next.packs().packs().last().expect("a pack");
    assert_eq!(pack.len(), 3);
    gate.fsck();
}

#[test]
fn each_new_blob_is_visited_once_at_each_path_with_who_brought_it() {
    let repo = Repo::init(ObjectFormat::Sha1);
    repo.write("old", "old");
    repo.commit("base");
    let gate = Gate::mirror(&repo);
    repo.write("dir/a", "a");
    let first = repo.commit("first");
    repo.write("dir/b", "a");
    repo.write("c", "c");
    let second = repo.commit("second");
    repo.write("dir/a", "changed");
    let third = repo.commit("third");
    repo.write("dir/a", "a");
    repo.write("renamed", "old");
    let fourth = repo.commit("back to what it was");
    let pack = repo.pack(&[], "main\n^main~4\n");
    let connected = gate.pushed(&pack, &[fourth]).expect("whole");
    let a = repo.id("main:dir/a");
    let by = IntroducedBy::Commit;
    let mut seen = blobs(&connected);
    seen.sort_by(|x, y| x.1.cmp(&y.1).then(x.0.cmp(&y.0)));
    let mut expected = vec![
        (repo.id("main:c"), "c".to_owned(), by(second)),
        (a, "dir/a".to_owned(), by(first)),
        (repo.id("main~1:dir/a"), "dir/a".to_owned(), by(third)),
        (a, "dir/b".to_owned(), by(second)),
    ];
    expected.sort_by(|x, y| x.1.cmp(&y.1).then(x.0.cmp(&y.0)));
    assert_eq!(seen, expected);
    // The old blob's new path is told as a path.
    let mut paths = BTreeMap::new();
    let mut tell = |visit: gate_store::Visit<'_>| {
        if !visit.is_new {
            paths.insert(visit.path.to_string(), visit.by);
        }
        ControlFlow::Continue(())
    };
    connected.blobs(100, &Interrupt::default(), &mut tell).expect("walked").is_continue();
    assert_eq!(paths, BTreeMap::from([("renamed".to_owned(), by(fourth))]));
}

#[test]
fn merges_roots_tags_and_bare_objects_are_visited_too() {
    let repo = Repo::init(ObjectFormat::Sha256);
    repo.write("base", "base");
    repo.commit("base");
    let gate = Gate::mirror(&repo);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("side", "side");
    repo.commit("side");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("main", "main");
    repo.commit("main");
    repo.git(&["merge", "-q", "--no-commit", "side"]);
    repo.write("evil", "only in the merge");
    let merge = repo.commit("merge");
    repo.git(&["checkout", "-q", "--orphan", "root"]);
    repo.git(&["rm", "-rfq", "."]);
    repo.write("rooted", "rooted");
    let root = repo.commit("root");
    repo.write("loose", "named by a ref");
    let blob = repo.git(&["hash-object", "-w", "loose"]);
    repo.git(&["tag", "-a", "-m", "a blob", "blobtag", &blob]);
    repo.git(&["tag", "-a", "-m", "nested", "nested", "blobtag"]);
    repo.write("deep/loose", "in a tree");
    repo.git(&["add", "deep"]);
    let tree = repo.git(&["write-tree", "--prefix=deep"]);
    repo.git(&["tag", "treeref", &tree]);
    let tips = ["main", "root", "nested", "treeref"].map(|name| repo.id(name));
    let pack = repo.pack(&[], "main\nroot\nnested\ntreeref\n^main~2\n");
    let connected = gate.pushed(&pack, &tips).expect("whole");
    assert_eq!(connected.tags().len(), 2);
    let seen: BTreeMap<_, _> =
        blobs(&connected).into_iter().map(|(_, path, by)| (path, by)).collect();
    assert_eq!(seen["evil"], IntroducedBy::Commit(merge));
    assert_eq!(seen["rooted"], IntroducedBy::Commit(root));
    assert_eq!(seen[""], IntroducedBy::Tag(repo.id("blobtag")));
    assert_eq!(seen["loose"], IntroducedBy::Ref);
    assert!(seen.contains_key("side") && seen.contains_key("main"));
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_tree_that_names_millions_of_paths_ends_at_a_limit() {
    let format = ObjectFormat::Sha1;
    let mut pack = Forge::new(format);
    pack.object(BLOB, b"x");
    let mut below = hash_object(format, Kind::Blob, b"x").expect("no attack");
    let mut mode = "100644";
    for _ in 0..12 {
        let mut tree = Vec::new();
        for name in "abcdefghij".chars() {
            tree.extend(format!("{mode} {name}\0").bytes());
            tree.extend(below.as_bytes());
        }
        pack.object(TREE, &tree);
        below = hash_object(format, Kind::Tree, &tree).expect("no attack");
        mode = "40000";
    }
    let connected = Gate::empty(format).pushed(&pack.finish(), &[below]).expect("whole");
    assert_eq!(connected.len(), 13);
    let error = connected
        .blobs(5000, &Interrupt::default(), &mut |_| ControlFlow::Continue(()))
        .expect_err("a bomb");
    assert!(matches!(error, ConnectError::TooManyPaths { limit: 5000 }));
    let flow = connected.blobs(5000, &Interrupt::default(), &mut |_| ControlFlow::Break(()));
    assert!(flow.expect("ended by the visitor").is_break());
}

#[test]
fn a_push_from_a_shallow_clone_is_whole_where_the_mirror_has_the_rest() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(8);
    let gate = Gate::mirror(&repo);
    let url = format!("file://{}", repo.path().display());
    repo.git(&["clone", "-q", "--depth=1", &url, "shallow"]);
    let shallow = repo.path().join("shallow");
    std::fs::write(shallow.join("new"), "new").expect("write");
    crate::support::git(&shallow, &["add", "new"]);
    crate::support::git(&shallow, &["commit", "-q", "-m", "new"]);
    let tip = crate::support::git(&shallow, &["rev-parse", "HEAD"]);
    let tip = ObjectId::from_hex(tip.as_bytes()).expect("an id");
    let pack = crate::support::git_bytes(
        &shallow,
        &["pack-objects", "-q", "--stdout", "--revs", "--thin", "--shallow"],
        b"HEAD\n^HEAD~1\n",
    );
    assert_eq!(gate.pushed(&pack, &[tip]).expect("whole").len(), 3);
    let error = Gate::empty(ObjectFormat::Sha1)
        .pushed(&repo.pack(&[], "main\n^main~1\n"), &[repo.id("main")])
        .map(|_| ())
        .expect_err("parents are missing");
    assert!(matches!(error, ConnectError::Missing { .. }) && error.is_senders_fault());
}

#[test]
fn submodules_are_not_followed() {
    let repo = Repo::init(ObjectFormat::Sha1);
    let entry = format!("160000,{},module", "12".repeat(20));
    repo.git(&["update-index", "--add", "--cacheinfo", &entry]);
    repo.git(&["commit", "-q", "-m", "module"]);
    let gate = Gate::empty(ObjectFormat::Sha1);
    let connected = gate.pushed(&repo.pack(&[], "main\n"), &[repo.id("main")]).expect("whole");
    assert_eq!(connected.len(), 2);
    assert!(blobs(&connected).is_empty());
}

#[test]
fn only_parents_the_origin_has_vouch_for_content() {
    let repo = Repo::init(ObjectFormat::Sha1);
    repo.write("dir/f", "known");
    repo.commit("base");
    let gate = Gate::mirror(&repo);
    repo.write("dir/f", "first");
    let first = repo.commit("first");
    repo.write("dir/f", "second");
    let second = repo.commit("second");
    let connected = gate.pushed(&repo.pack(&[], "main\n^main~2\n"), &[second]).expect("whole");
    let at = |commit: &ObjectId, path: &str| connected.known_blobs_at(commit, path.into());
    assert_eq!(at(&first, "dir/f").expect("found"), [repo.id("main~2:dir/f")]);
    assert_eq!(at(&second, "dir/f").expect("nothing"), []);
    assert_eq!(at(&first, "dir").expect("nothing"), []);
    assert_eq!(at(&first, "dir/g").expect("nothing"), []);
    assert_eq!(at(&first, "dir/f/x").expect("nothing"), []);
    let mut bytes = Vec::new();
    let blob = repo.id("main:dir/f");
    assert_eq!(connected.read_blob_to(&blob, &mut bytes).expect("read"), 6);
    assert_eq!(bytes, b"second");
    assert!(connected.read_blob_to(&first, &mut bytes).is_err());
}

#[test]
fn tells_a_fast_forward_from_a_forced_move() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(6);
    let gate = Gate::mirror(&repo);
    let old = repo.id("main");
    repo.commit("on top");
    repo.git(&["checkout", "-q", "-b", "other", "main~3"]);
    repo.commit("aside");
    let tips = [repo.id("main"), repo.id("other")];
    let pack = repo.pack(&[], "main\nother\n^main~1\n");
    let connected = gate.pushed(&pack, &tips).expect("whole");
    let interrupt = Interrupt::default();
    let forward = |new| connected.is_ancestor(&old, new, &interrupt).expect("walked");
    assert!(forward(&tips[0]) && !forward(&tips[1]) && forward(&old));
    assert!(!forward(&repo.id("main^{tree}")));
}

#[test]
fn an_interrupt_ends_the_walk() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let gate = Gate::empty(ObjectFormat::Sha1);
    let (quarantine, _) = gate.push(&repo.pack(&[], "main\n")).expect("a pack");
    let interrupt = Interrupt::default();
    interrupt.set();
    let error = quarantine.connect(&[repo.id("main")], &[], Check::Push, &interrupt).map(|_| ());
    assert!(matches!(error, Err(ConnectError::Interrupted(_))));
}
