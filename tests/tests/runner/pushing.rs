//! Every way to push, over both doors, to every kind of origin. The judge is the origin's own refs and objects.

use std::path::Path;

use crate::env::{Ran, TestEnv};
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

struct Case<'e> {
    env: &'e TestEnv,
    server: &'e Server,
    gate: &'e Gate<'e>,
    door: Door,
    origin: &'e Origin<'e>,
    url: String,
}

type Operation = fn(&Case<'_>);

fn push(kind: Kind, door: Door, operation: Operation) {
    if gate::stand_in() && door == Door::Ssh {
        return; // the stand-in has no such door
    }
    let env = TestEnv::new();
    let server = Server::start(&env, kind);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let url = gate.url(door, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    operation(&Case {
        env: &env,
        server: &server,
        gate: &gate,
        door,
        origin: &origin,
        url: url.clone(),
    });
    assert_eq!(
        env.git(["ls-remote", &url]).out(),
        origin.listing(),
        "the gate shows what the origin has"
    );
    origin.git(["fsck", "--full", "--strict", "--no-dangling"]);
}

every_way! { push:
    updates_and_creates_a_branch forces deletes tags_of_every_kind several_refs_at_once other_namespaces
    a_branch_at_a_known_commit pushes_from_a_shallow_clone first_push_into_an_empty_origin sha256
    options_reach_the_origin atomic_is_passed_on large_and_compressed nothing_to_push
    every_version_that_pushes_speak
}

impl Case<'_> {
    fn git<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.env.git_in("work", args)
    }

    fn commit(&self, path: &str, content: impl AsRef<[u8]>) -> String {
        self.env.write(&format!("work/{path}"), content);
        self.git(["add", "--", path]).out();
        self.git(["commit", "-q", "-m", "the agent's change"]).out();
        self.git(["rev-parse", "HEAD"]).out()
    }
}

fn updates_and_creates_a_branch(case: &Case<'_>) {
    for round in 0..3 {
        let tip = case.commit("src/new.rs", format!("fn round_{round}() {{}}\n"));
        case.git(["push", "-q", "origin", "main"]).out();
        assert_eq!(case.origin.tip("main"), tip);
    }
    let tip = case.commit("src/branch.rs", "fn branch() {}\n");
    case.git(["push", "-q", "origin", "HEAD:refs/heads/agent/new"]).out();
    assert_eq!(case.origin.tip("agent/new"), tip);
}

fn forces(case: &Case<'_>) {
    let old = case.origin.tip("main");
    case.git(["reset", "-q", "--hard", "HEAD~1"]).out();
    let tip = case.commit("README", "another second\n");
    let said = case.git(["push", "origin", "main"]).refused();
    assert!(said.contains("non-fast-forward"), "{said}");
    assert_eq!(case.origin.tip("main"), old);
    case.git(["push", "-q", "--force", "origin", "main"]).out();
    assert_eq!(case.origin.tip("main"), tip);
    case.origin.commit("main", "README", "meanwhile\n");
    let said = case.git(["push", "--force-with-lease", "origin", "main~1:main"]).refused();
    assert!(said.contains("stale info"), "{said}");
}

fn deletes(case: &Case<'_>) {
    case.git(["push", "-q", "origin", "--delete", "topic/a"]).out();
    assert!(!case.origin.listing().contains("topic/a"));
    case.git(["push", "-q", "origin", ":refs/tags/v1", "HEAD:refs/heads/with-a-delete"]).out();
    assert!(!case.origin.listing().contains("refs/tags/v1\n"));
    assert_eq!(case.origin.tip("with-a-delete"), case.origin.tip("main"));
}

fn tags_of_every_kind(case: &Case<'_>) {
    case.commit("tagged", "tagged\n");
    case.git(["tag", "agent-light"]).out();
    case.git(["tag", "-a", "-m", "annotated", "agent-tag"]).out();
    case.git(["tag", "-a", "-m", "nested", "agent-nested", "agent-tag"]).out();
    case.git(["tag", "agent-blob", "HEAD:README"]).out();
    case.git(["tag", "-a", "-m", "a tree", "agent-tree", "HEAD^{tree}"]).out();
    case.git(["push", "-q", "origin", "main", "--tags"]).out();
    for tag in ["agent-light", "agent-tag", "agent-nested", "agent-blob", "agent-tree"] {
        assert_eq!(case.origin.tip(tag), case.git(["rev-parse", tag]).out(), "{tag}");
    }
}

fn several_refs_at_once(case: &Case<'_>) {
    let tip = case.commit("one", "one\n");
    case.git(["branch", "two"]).out();
    case.commit("three", "three\n");
    let specs = ["HEAD:refs/heads/a", "two:refs/heads/b", "HEAD~2:refs/heads/c"];
    case.git(["push", "-q", "origin", specs[0], specs[1], specs[2], ":topic/a"]).out();
    assert_eq!(case.origin.tip("b"), tip);
    assert_eq!(case.origin.tip("a"), case.git(["rev-parse", "HEAD"]).out());
    assert!(!case.origin.listing().contains("topic/a"));
}

fn other_namespaces(case: &Case<'_>) {
    case.git(["notes", "add", "-m", "a note"]).out();
    let specs = ["refs/notes/commits", "HEAD:refs/custom/deep/er"];
    case.git(["push", "-q", "origin", specs[0], specs[1]]).out();
    assert_eq!(case.origin.tip("refs/custom/deep/er"), case.origin.tip("main"));
    assert_eq!(
        case.origin.tip("refs/notes/commits"),
        case.git(["rev-parse", "refs/notes/commits"]).out()
    );
}

fn a_branch_at_a_known_commit(case: &Case<'_>) {
    case.git(["push", "-q", "origin", "HEAD~1:refs/heads/back"]).out();
    assert_eq!(case.origin.tip("back"), case.origin.tip("main~1"));
}

fn pushes_from_a_shallow_clone(case: &Case<'_>) {
    case.env.git(["clone", "-q", "--depth=1", &case.url, "shallow"]).out();
    case.env.write("shallow/file", "from a shallow clone\n");
    case.env.git_in("shallow", ["add", "file"]).out();
    case.env.git_in("shallow", ["commit", "-q", "-m", "shallow"]).out();
    case.env.git_in("shallow", ["push", "-q", "origin", "main"]).out();
    assert_eq!(case.origin.tip("main"), case.env.git_in("shallow", ["rev-parse", "HEAD"]).out());
    assert!(!case.origin.dir.join("shallow").exists(), "the origin stays whole");
}

fn first_push_into_an_empty_origin(case: &Case<'_>) {
    let origin = Origin::empty(case.env, "empty");
    let url = case.gate.url(case.door, "empty");
    case.git(["push", "-q", &url, "main", "--tags"]).out();
    assert_eq!(origin.tip("main"), case.origin.tip("main"));
    case.env.git(["clone", "-q", &url, "of-empty"]).out();
    assert_eq!(case.env.git_in("of-empty", ["rev-parse", "HEAD"]).out(), origin.tip("main"));
}

fn sha256(case: &Case<'_>) {
    let origin = Origin::with_format(case.env, "sha256", "sha256");
    origin.fill();
    let url = case.gate.url(case.door, "sha256");
    case.env.git(["clone", "-q", &url, "work256"]).out();
    case.env.write("work256/new", "new\n");
    case.env.git_in("work256", ["add", "new"]).out();
    case.env.git_in("work256", ["commit", "-q", "-m", "new"]).out();
    case.env.git_in("work256", ["push", "-q", "origin", "main"]).out();
    assert_eq!(origin.tip("main"), case.env.git_in("work256", ["rev-parse", "HEAD"]).out());
}

fn options_reach_the_origin(case: &Case<'_>) {
    case.origin.hook("pre-receive", "env | grep ^GIT_PUSH_OPTION_ | sort >options");
    case.commit("optional", "optional\n");
    case.git(["push", "-q", "-o", "ci.skip", "-o", "", "-o", "topic=a b", "origin", "main"]).out();
    let seen = std::fs::read_to_string(case.origin.dir.join("options")).expect("the hook's file");
    let expected = "GIT_PUSH_OPTION_0=ci.skip\nGIT_PUSH_OPTION_1=\nGIT_PUSH_OPTION_2=topic=a b\nGIT_PUSH_OPTION_COUNT=3\n";
    assert_eq!(seen, expected);
}

fn atomic_is_passed_on(case: &Case<'_>) {
    case.origin.hook("update", "case $1 in refs/heads/no) echo not this one >&2; exit 1;; esac");
    case.commit("atomic", "atomic\n");
    let before = case.origin.listing();
    let specs = ["HEAD:refs/heads/yes", "HEAD:refs/heads/no"];
    let said = case.git(["push", "--atomic", "origin", specs[0], specs[1]]).refused();
    assert!(said.contains("not this one"), "{said}");
    assert_eq!(case.origin.listing(), before);
}

/// More than `http.postBuffer`, so that HTTP probes and chunks, and text that a client compresses.
fn large_and_compressed(case: &Case<'_>) {
    case.commit("noise", crate::hostile::noise(3 << 20));
    let text: String = (0..40_000).map(|n| format!("line {n} of a long text\n")).collect();
    let tip = case.commit("text", text);
    let said = case.git(["push", "-q", "origin", "main"]);
    assert!(said.ok && said.stderr.is_empty(), "quiet is passed on: {}", said.stderr);
    assert_eq!(case.origin.tip("main"), tip);
}

fn nothing_to_push(case: &Case<'_>) {
    let said = case.git(["push", "origin", "main"]);
    assert!(said.stderr.contains("Everything up-to-date"), "{}", said.stderr);
    assert!(Path::new(&case.origin.dir).exists() && case.server.url("app").contains("app"));
}

/// git asks for version 2 by default and pushes in version 0 then; version 1 differs by one packet.
fn every_version_that_pushes_speak(case: &Case<'_>) {
    for version in ["0", "1", "2"] {
        let tip = case.commit("version", format!("{version}\n"));
        let option = format!("protocol.version={version}");
        case.git(["-c", &option, "push", "-q", "origin", "main"]).out();
        assert_eq!(case.origin.tip("main"), tip, "{version}");
    }
}
