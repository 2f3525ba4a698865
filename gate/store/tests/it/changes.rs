//! Which paths new commits change: judged by `git diff-tree` against each parent.

use gate_store::{ConnectError, Connected, Interrupt};
use proto::ObjectId;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::gate::Gate;
use crate::support::{FORMATS, Repo, git_bytes};

/// A push of everything to an empty mirror.
fn connected(repo: &Repo, gate: &Gate) -> Connected {
    let tips: Vec<ObjectId> = repo
        .git(&["for-each-ref", "--format=%(objectname)", "refs/heads"])
        .lines()
        .map(|hex| ObjectId::from_hex(hex.as_bytes()).expect("an id"))
        .collect();
    let revs: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    gate.pushed(&repo.pack(&["--delta-base-offset"], &revs), &tips).expect("whole")
}

fn ours(connected: &Connected) -> BTreeSet<(ObjectId, String)> {
    let mut seen = BTreeSet::new();
    let ended = connected.changes(100_000, &Interrupt::default(), &mut |commit, path| {
        assert!(seen.insert((*commit, path.to_string())), "{path} of {commit} is told twice");
        ControlFlow::Continue(())
    });
    assert!(ended.expect("no damage").is_continue());
    seen
}

/// Paths that differ from every parent; of a root, all.
fn gits(repo: &Repo, connected: &Connected) -> BTreeSet<(ObjectId, String)> {
    let mut all = BTreeSet::new();
    for commit in connected.commits() {
        let parents = repo.git(&["rev-list", "--parents", "-n1", &commit.to_hex()]);
        let parents: Vec<&str> = parents.split(' ').skip(1).collect();
        let diff = |args: &[&str]| -> BTreeSet<String> {
            let args =
                [&["diff-tree", "-r", "--no-renames", "--no-commit-id", "--name-only", "-z"], args]
                    .concat();
            let out = String::from_utf8(git_bytes(repo.path(), &args, b"")).expect("UTF-8");
            out.split_terminator('\0').map(str::to_owned).collect()
        };
        let own = commit.to_hex();
        let changed = match &parents[..] {
            [] => diff(&["--root", &own]),
            [first, rest @ ..] => rest.iter().fold(diff(&[first, &own]), |changed, parent| {
                changed.intersection(&diff(&[parent, &own])).cloned().collect()
            }),
        };
        all.extend(changed.into_iter().map(|path| (*commit, path)));
    }
    all
}

fn remove(repo: &Repo, path: &str) {
    std::fs::remove_dir_all(repo.path().join(path))
        .or_else(|_| std::fs::remove_file(repo.path().join(path)))
        .expect("it is there");
}

#[test]
fn files_links_modes_and_directories_that_come_change_and_go() {
    for format in FORMATS {
        let repo = Repo::init(format);
        repo.write("a", "1\n");
        repo.write("dir/x", "1\n");
        repo.write("dir/deep/y", "1\n");
        repo.write("gone/z", "1\n");
        repo.commit("root");
        repo.write("a", "2\n");
        repo.write("new/deep/er", "1\n");
        repo.commit("change and add");
        repo.git(&["update-index", "--chmod=+x", "a"]);
        repo.git(&["commit", "-q", "-m", "mode"]);
        repo.git(&["reset", "-q", "--hard"]);
        repo.git(&["mv", "dir/x", "dir/renamed"]);
        repo.commit("rename");
        remove(&repo, "gone");
        repo.commit("a directory goes");
        remove(&repo, "dir/deep");
        repo.write("dir/deep", "a file in place of a directory\n");
        repo.commit("directory to file");
        remove(&repo, "a");
        repo.write("a/inner", "a directory in place of a file\n");
        repo.commit("file to directory");
        remove(&repo, "new/deep/er");
        std::os::unix::fs::symlink("elsewhere", repo.path().join("new/link")).expect("a link");
        repo.commit("file to link elsewhere");
        let head = repo.git(&["rev-parse", "HEAD"]);
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
        repo.git(&["commit", "-q", "-m", "a submodule"]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
        let gate = Gate::empty(format);
        let connected = connected(&repo, &gate);
        let changes = ours(&connected);
        assert_eq!(changes, gits(&repo, &connected));
        let told: BTreeSet<&str> = changes.iter().map(|(_, path)| path.as_str()).collect();
        for path in [
            "a",
            "a/inner",
            "dir/deep",
            "dir/deep/y",
            "dir/x",
            "dir/renamed",
            "gone/z",
            "new/link",
            "sub",
        ] {
            assert!(told.contains(path), "{path}");
        }
    }
}

#[test]
fn a_merge_changes_only_what_no_parent_has() {
    let repo = Repo::init(FORMATS[0]);
    repo.write("both", "1\n2\n3\n4\n5\n");
    repo.write("dir/mine", "1\n");
    repo.write("dir/theirs", "1\n");
    repo.commit("root");
    for (branch, own) in [("left", "dir/mine"), ("right", "dir/theirs"), ("third", "dir/third")] {
        repo.git(&["checkout", "-q", "-b", branch, "main"]);
        repo.write(own, "2\n");
        repo.write(&format!("only-{branch}"), "1\n");
        repo.commit(branch);
    }
    repo.git(&["checkout", "-q", "-b", "merge", "left"]);
    repo.git(&["merge", "-q", "-m", "clean", "right"]);
    repo.git(&["merge", "-q", "--no-commit", "--no-ff", "third"]);
    repo.write("evil", "no parent has this\n");
    repo.write("both", "changed in the merge\n");
    remove(&repo, "only-left");
    repo.commit("evil");
    repo.git(&["checkout", "-q", "-b", "octopus", "left"]);
    repo.git(&["merge", "-q", "-m", "octopus", "right", "third"]);
    let gate = Gate::empty(FORMATS[0]);
    let connected = connected(&repo, &gate);
    let changes = ours(&connected);
    assert_eq!(changes, gits(&repo, &connected));
    let of = |branch: &str| -> Vec<&str> {
        let id = repo.id(branch);
        changes.iter().filter(|(commit, _)| *commit == id).map(|(_, path)| path.as_str()).collect()
    };
    assert_eq!(of("merge"), ["both", "evil"]);
    assert_eq!(of("octopus"), Vec::<&str>::new());
}

#[test]
fn what_the_origin_has_is_no_change() {
    let repo = Repo::init(FORMATS[0]);
    repo.write("old", "1\n");
    let old = repo.commit("old");
    let gate = Gate::mirror(&repo);
    repo.write("new", "1\n");
    let new = repo.commit("new");
    let pack = repo.pack(&["--thin"], &format!("{new}\n^{old}\n"));
    let connected = gate.pushed(&pack, &[new]).expect("whole");
    assert_eq!(ours(&connected), BTreeSet::from([(new, "new".to_owned())]));
}

#[test]
fn too_many_paths_end_at_the_limit_and_a_break_ends_the_walk() {
    let repo = Repo::init(FORMATS[0]);
    (0..50).for_each(|n| repo.write(&format!("d/{n:02}"), "x\n"));
    repo.commit("many");
    let gate = Gate::empty(FORMATS[0]);
    let connected = connected(&repo, &gate);
    let limited =
        connected.changes(20, &Interrupt::default(), &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(limited, Err(ConnectError::TooManyPaths { limit: 20 })), "{limited:?}");
    let mut seen = 0;
    let broken = connected.changes(100_000, &Interrupt::default(), &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(broken.expect("no damage").is_break() && seen == 1);
    let interrupt = Interrupt::default();
    interrupt.set();
    let off = connected.changes(100_000, &interrupt, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(off, Err(ConnectError::Interrupted(_))), "{off:?}");
}
