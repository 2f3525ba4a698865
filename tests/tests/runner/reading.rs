//! Every way to read, over every door, in every protocol version, from every kind of origin.

use crate::env::{Ran, TestEnv};
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

/// One combination: a test runs its operation with it.
struct Case<'e> {
    env: &'e TestEnv,
    origin: &'e Origin<'e>,
    url: String,
    version: u8,
}

type Operation = fn(&Case<'_>);

/// Over one door and from one kind of origin, in all three versions.
fn read(kind: Kind, door: Door, operation: Operation) {
    if gate::stand_in() && door == Door::Ssh {
        return; // the stand-in has no such door
    }
    let env = TestEnv::new();
    let server = Server::start(&env, kind);
    let gate = Gate::before(&env, &server);
    for version in [0, 1, 2] {
        let name = format!("v{version}");
        let origin = Origin::sample(&env, &name);
        operation(&Case { env: &env, origin: &origin, url: gate.url(door, &name), version });
    }
}

every_way! { read:
    clone mirror_clone bare_clone fetch fetch_of_nothing incremental_fetch shallow_and_unshallow
    shallow_since_and_not partial_clone_with_lazy_fetch treeless_clone single_branch tags ls_remote symrefs submodule
    fetch_by_id
}

impl Case<'_> {
    fn git<const N: usize>(&self, args: [&str; N]) -> Ran {
        let version = format!("protocol.version={}", self.version);
        self.env.git(["-c", &version].into_iter().chain(args))
    }

    /// A new folder's name.
    fn dir(&self, name: &str) -> String {
        format!("{name}-{}", self.version)
    }

    #[track_caller]
    fn whole(&self, dir: &str) {
        self.env.git_in(dir, ["fsck", "--full", "--strict", "--no-dangling"]).out();
    }

    #[track_caller]
    fn at(&self, dir: &str, name: &str) -> String {
        self.env.git_in(dir, ["rev-parse", "--verify", name]).out()
    }
}

fn clone(case: &Case<'_>) {
    let dir = case.dir("clone");
    case.git(["clone", "-q", &case.url, &dir]).out();
    assert_eq!(case.at(&dir, "HEAD"), case.origin.tip("main"));
    assert_eq!(case.at(&dir, "origin/topic/a"), case.origin.tip("topic/a"));
    assert_eq!(
        std::fs::read_to_string(case.env.path(&dir).join("README")).expect("README"),
        "second\n"
    );
    case.whole(&dir);
}

fn mirror_clone(case: &Case<'_>) {
    let dir = case.dir("mirror");
    case.git(["clone", "-q", "--mirror", &case.url, &dir]).out();
    assert_eq!(case.env.git(["ls-remote", &dir]).out(), case.origin.listing());
    case.whole(&dir);
}

fn bare_clone(case: &Case<'_>) {
    let dir = case.dir("bare");
    let ran = case.git(["clone", "--progress", "--bare", &case.url, &dir]);
    assert!(ran.ok && ran.stderr.contains("remote: Total "), "{}", ran.stderr);
    assert_eq!(case.at(&dir, "main"), case.origin.tip("main"));
    assert_eq!(case.env.git_in(&dir, ["symbolic-ref", "HEAD"]).out(), "refs/heads/main");
    case.whole(&dir);
}

fn fetch(case: &Case<'_>) {
    let dir = case.dir("fetch");
    case.git(["init", "-q", &dir]).out();
    case.git(["-C", &dir, "fetch", "-q", &case.url, "main"]).out();
    assert_eq!(case.at(&dir, "FETCH_HEAD"), case.origin.tip("main"));
    case.whole(&dir);
}

fn fetch_of_nothing(case: &Case<'_>) {
    let dir = case.dir("noop");
    case.git(["clone", "-q", "--mirror", &case.url, &dir]).out();
    let fetch = case.git(["-C", &dir, "fetch"]);
    assert_eq!(fetch.stderr, "");
    fetch.out();
}

fn incremental_fetch(case: &Case<'_>) {
    let dir = case.dir("incremental");
    case.git(["clone", "-q", &case.url, &dir]).out();
    for round in 0..3 {
        let tip = case.origin.commit("main", "src/new.rs", &format!("fn round_{round}() {{}}\n"));
        case.env.git_in(&dir, ["commit", "-q", "--allow-empty", "-m", "the client's own"]).out();
        case.git(["-C", &dir, "fetch", "-q"]).out();
        assert_eq!(case.at(&dir, "origin/main"), tip);
    }
    case.whole(&dir);
}

fn shallow_and_unshallow(case: &Case<'_>) {
    let dir = case.dir("shallow");
    let count = |dir: &str| case.env.git_in(dir, ["rev-list", "--count", "HEAD"]).out();
    case.git(["clone", "-q", "--depth=1", &case.url, &dir]).out();
    assert_eq!(count(&dir), "1");
    case.git(["-C", &dir, "fetch", "-q", "--deepen=1"]).out();
    assert_eq!(count(&dir), "2");
    case.origin.commit("main", "README", "third\n");
    case.git(["-C", &dir, "pull", "-q", "--depth=2"]).out();
    assert_eq!(count(&dir), "2");
    case.git(["-C", &dir, "fetch", "-q", "--unshallow"]).out();
    assert_eq!(count(&dir), "4");
    case.whole(&dir);
}

fn shallow_since_and_not(case: &Case<'_>) {
    let old = "commit refs/heads/dated\ncommitter D <d@example.org> 1600000000 +0000\ndata 3\nold\n\
               commit refs/heads/dated\ncommitter D <d@example.org> 1650000000 +0000\ndata 3\nmid\n\
               commit refs/heads/dated\ncommitter D <d@example.org> 1690000000 +0000\ndata 3\nnew\n";
    case.origin.fast_import(old.as_bytes());
    let dir = case.dir("since");
    let since = "--shallow-since=2022-01-01";
    case.git(["clone", "-q", since, "--branch=dated", "--single-branch", &case.url, &dir]).out();
    assert_eq!(case.env.git_in(&dir, ["log", "--format=%s"]).out(), "new\nmid");
    let dir = case.dir("not");
    case.git(["clone", "-q", "--shallow-exclude=light", "--branch=main", &case.url, &dir]).out();
    assert_eq!(case.env.git_in(&dir, ["rev-list", "--count", "HEAD"]).out(), "1");
    case.whole(&dir);
}

fn partial_clone_with_lazy_fetch(case: &Case<'_>) {
    let dir = case.dir("partial");
    case.git(["clone", "-q", "--no-checkout", "--filter=blob:none", &case.url, &dir]).out();
    let missing = ["rev-list", "--objects", "--all", "--missing=print"];
    assert!(case.env.git_in(&dir, missing).out().contains("\n?"), "blobs are left out");
    case.git(["-C", &dir, "checkout", "-q", "main"]).out();
    assert_eq!(
        std::fs::read_to_string(case.env.path(&dir).join("README")).expect("README"),
        "second\n"
    );
    case.git(["-C", &dir, "log", "-p", "--all"]).out();
    assert!(!case.env.git_in(&dir, missing).out().contains("\n?"), "all blobs came");
}

fn treeless_clone(case: &Case<'_>) {
    for filter in
        ["tree:0", "tree:1", "blob:limit=20", "object:type=commit", "combine:blob:none+tree:2"]
    {
        let dir = case.dir(&format!("filter-{}", filter.replace([':', '=', '+'], "-")));
        let option = format!("--filter={filter}");
        case.git(["clone", "-q", "--no-checkout", &option, &case.url, &dir]).out();
        assert_eq!(case.at(&dir, "origin/main"), case.origin.tip("main"), "{filter}");
        case.git(["-C", &dir, "checkout", "-q", "main"]).out();
        let readme = std::fs::read_to_string(case.env.path(&dir).join("README")).expect("README");
        assert_eq!(readme, "second\n", "{filter}");
    }
}

fn single_branch(case: &Case<'_>) {
    let dir = case.dir("single");
    let branch = ["--single-branch", "--no-tags", "--branch=topic/a"];
    case.git(["clone", "-q", branch[0], branch[1], branch[2], &case.url, &dir]).out();
    assert_eq!(case.at(&dir, "HEAD"), case.origin.tip("topic/a"));
    assert_eq!(
        case.env.git_in(&dir, ["for-each-ref", "--format=%(refname)", "refs/remotes/origin"]).out(),
        "refs/remotes/origin/topic/a"
    );
    case.whole(&dir);
}

fn tags(case: &Case<'_>) {
    let dir = case.dir("tags");
    case.git(["clone", "-q", "--single-branch", &case.url, &dir]).out();
    assert_eq!(case.env.git_in(&dir, ["tag"]).out(), "light\nv1\nv1-nested");
    assert_eq!(case.at(&dir, "v1-nested"), case.origin.tip("v1-nested"));
    assert_eq!(case.at(&dir, "v1-nested^{}"), case.origin.tip("main"));
    // A tag on what comes is followed without being asked for.
    case.origin.commit("main", "README", "tagged\n");
    case.origin.git(["tag", "-a", "-m", "followed", "v2", "main"]);
    case.git(["-C", &dir, "fetch", "-q"]).out();
    assert_eq!(case.at(&dir, "v2"), case.origin.tip("v2"));
    case.whole(&dir);
}

fn ls_remote(case: &Case<'_>) {
    assert_eq!(case.git(["ls-remote", &case.url]).out(), case.origin.listing());
    let heads = case.git(["ls-remote", "--heads", &case.url, "topic/*"]).out();
    assert_eq!(heads, format!("{}\trefs/heads/topic/a", case.origin.tip("topic/a")));
    let symref = case.git(["ls-remote", "--symref", &case.url, "HEAD"]).out();
    assert_eq!(symref, format!("ref: refs/heads/main\tHEAD\n{}\tHEAD", case.origin.tip("main")));
}

fn symrefs(case: &Case<'_>) {
    let dir = case.origin.dir.to_str().expect("a UTF-8 path");
    let listing = |url: &str| case.git(["ls-remote", "--symref", url]).out();
    let tip = case.origin.tip("main");
    let steps: [&[&str]; 5] = [
        &["update-ref", "refs/heads/beside-main", &tip],
        &["symbolic-ref", "refs/remotes/up/HEAD", "refs/heads/main"],
        &["symbolic-ref", "refs/heads/current", "refs/heads/topic/a"],
        // no ref moves
        &["symbolic-ref", "refs/remotes/up/HEAD", "refs/heads/beside-main"],
        &["symbolic-ref", "--delete", "refs/heads/current"],
    ];
    for step in steps {
        case.env.git_in(&case.origin.dir, step.iter().copied()).out();
        assert_eq!(listing(&case.url), listing(dir), "{step:?}");
    }
}

fn submodule(case: &Case<'_>) {
    let dir = case.dir("super");
    let tip = case.origin.tip("main");
    let module = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {}\n", case.url);
    let stream = format!(
        "commit refs/heads/super\ncommitter D <d@example.org> 1690000000 +0000\ndata 3\nsub\n\
         M 160000 {tip} sub\nM 100644 inline .gitmodules\ndata {}\n{module}\n",
        module.len()
    );
    case.origin.fast_import(stream.as_bytes());
    case.git(["clone", "-q", "--branch=super", "--recurse-submodules", &case.url, &dir]).out();
    assert_eq!(case.at(&format!("{dir}/sub"), "HEAD"), tip);
    case.whole(&dir);
}

fn fetch_by_id(case: &Case<'_>) {
    let dir = case.dir("by-id");
    let buried = case.origin.tip("main~1");
    case.git(["init", "-q", &dir]).out();
    case.git(["-C", &dir, "fetch", "-q", "--depth=1", &case.url, &buried]).out();
    assert_eq!(case.at(&dir, "FETCH_HEAD"), buried);
    case.whole(&dir);
}
