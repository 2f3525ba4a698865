//! The operator's policy at the door: each rule refuses what it names, says so whole, and lets the rest through.

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::origin::Origin;
use crate::push_refused::{plain, refused};
use crate::push_verdict::commit;
use crate::servers::{Kind, Server};

#[test]
fn a_protected_path() {
    insta::assert_snapshot!(refused(
        "[policy]\nprotected_paths = [\".github/*\", \"*.lock\"]\n",
        |env| {
            commit(env, "work", "clean", "clean\n");
            commit(env, "work", ".github/workflows/ci.yml", "on: push\n");
        },
        &["main"]
    ));
}

#[test]
fn a_protected_path_that_is_deleted() {
    insta::assert_snapshot!(refused(
        "[policy]\nprotected_paths = [\"src/*\"]\n",
        |env| {
            env.git_in("work", ["rm", "-q", "src/lib.rs"]).out();
            env.git_in("work", ["commit", "-q", "-m", "remove it"]).out();
        },
        &["main"]
    ));
}

#[test]
fn a_file_that_is_too_large() {
    insta::assert_snapshot!(refused(
        "[policy]\nmax_file_size = \"1KiB\"\n",
        |env| {
            commit(env, "work", "assets/large.txt", &"large\n".repeat(1000));
            // what a later commit takes away was pushed all the same
            env.git_in("work", ["rm", "-q", "assets/large.txt"]).out();
            env.git_in("work", ["commit", "-q", "-m", "remove it"]).out();
        },
        &["main"]
    ));
}

#[test]
fn a_strange_author() {
    insta::assert_snapshot!(refused(
        "[policy]\nauthor_emails = [\"*@agents.example\"]\n",
        |env| commit(env, "work", "a", "a\n"),
        &["main"]
    ));
}

#[test]
fn a_strange_committer() {
    insta::assert_snapshot!(refused(
        "[policy]\nauthor_emails = [\"tester@*\"]\ncommitter_emails = [\"*@agents.example\"]\n",
        |env| commit(env, "work", "a", "a\n"),
        &["main"]
    ));
}

#[test]
fn a_ref_that_may_not_be_made() {
    insta::assert_snapshot!(refused(
        "[[policy.ref]]\nname = \"refs/heads/release/*\"\ncreate = false\n",
        |env| commit(env, "work", "a", "a\n"),
        &["HEAD:refs/heads/release/9"]
    ));
}

#[test]
fn a_ref_that_may_not_move() {
    insta::assert_snapshot!(refused(
        "[[policy.ref]]\nname = \"refs/heads/main\"\nupdate = false\nforce = false\n",
        |env| commit(env, "work", "a", "a\n"),
        &["main"]
    ));
}

#[test]
fn a_ref_that_may_only_be_forced() {
    insta::assert_snapshot!(refused(
        "[[policy.ref]]\nname = \"refs/heads/main\"\nupdate = false\n",
        |env| commit(env, "work", "a", "a\n"),
        &["main"]
    ));
}

#[test]
fn a_tag_that_moves_is_forced() {
    insta::assert_snapshot!(refused(
        "[[policy.ref]]\nname = \"refs/tags/*\"\nforce = false\n",
        |env| {
            commit(env, "work", "a", "a\n");
            env.git_in("work", ["tag", "-f", "light"]).out();
        },
        &["+refs/tags/light"]
    ));
}

/// A gate with every rule at once, and pushes that fit them.
#[test]
fn what_fits_the_policy_lands() {
    let policy = "[policy]\nprotected_paths = [\"secret/*\"]\nmax_file_size = \"1MiB\"\n\
                  author_emails = [\"tester@*\"]\ncommitter_emails = [\"tester@*\"]\n\
                  [[policy.ref]]\nname = \"refs/heads/agent/*\"\n\
                  [[policy.ref]]\nrepo = \"other/*\"\nname = \"*\"\ncreate = false\nupdate = false\nforce = false\ndelete = false\n\
                  [[policy.ref]]\nname = \"refs/heads/*\"\ncreate = false\nforce = false\ndelete = false\n";
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::with(&env, &server, policy);
    let origin = Origin::sample(&env, "app");
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    commit(&env, "work", "src/new.rs", "fn new() {}\n");
    env.git_in("work", ["push", "-q", &url, "main", "HEAD:refs/heads/agent/1", "HEAD:refs/tags/t"])
        .out();
    env.git_in("work", ["reset", "-q", "--hard", "HEAD~1"]).out();
    commit(&env, "work", "src/other.rs", "fn other() {}\n");
    env.git_in("work", ["push", "-q", &url, "+HEAD:refs/heads/agent/1"]).out();
    assert_eq!(origin.tip("agent/1"), env.git_in("work", ["rev-parse", "HEAD"]).out());
    env.git_in("work", ["push", "-q", &url, ":refs/heads/agent/1", ":refs/tags/t"]).out();
    // What policy forbids to one ref does not hold up another, unless all stand together.
    let specs = ["HEAD:refs/heads/mine", "HEAD:refs/heads/agent/2"];
    let said = env.git_in("work", ["push", &url, specs[0], specs[1]]).refused();
    assert!(said.contains("agent/2\n"), "{said}");
    assert!(origin.listing().contains("refs/heads/agent/2"), "{said}");
    insta::assert_snapshot!(plain(&said, gate.base(Door::Git)));
    let specs = ["HEAD:refs/heads/mine", "HEAD:refs/heads/agent/3"];
    env.git_in("work", ["push", "--atomic", &url, specs[0], specs[1]]).refused();
    assert!(!origin.listing().contains("refs/heads/agent/3"));
}
