//! The origin has the last word, and the client hears it: ref by ref, with the origin's own lines.

use std::io::Read;

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::held::Held;
use crate::hostile::{Hostile, Trick};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

const KINDS: [Kind; 4] = [Kind::Git, Kind::Ssh, Kind::Http, Kind::File];

/// A gate before one sample origin, and a clone of it in `work` with one commit to push.
fn with_work(kind: Kind, test: impl Fn(&TestEnv, &Origin<'_>, &Gate<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, kind);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
    commit(&env, "work", "file", "the agent's\n");
    test(&env, &origin, &gate);
}

pub(crate) fn commit(env: &TestEnv, work: &str, path: &str, content: &str) {
    env.write(&format!("{work}/{path}"), content);
    env.git_in(work, ["add", "--", path]).out();
    env.git_in(work, ["commit", "-q", "-m", "the agent's change"]).out();
}

#[test]
fn a_declined_push_shows_the_hooks_lines_and_its_reason() {
    for kind in KINDS {
        with_work(kind, |env, origin, gate| {
            let before = origin.listing();
            origin.hook("pre-receive", "echo 'no deploys on Fridays' >&2; exit 1");
            for door in [Door::Git, Door::Http] {
                let said = env.git_in("work", ["push", &gate.url(door, "app"), "main"]).refused();
                assert!(said.contains("remote: no deploys on Fridays"), "{kind:?}: {said}");
                assert!(
                    said.contains("! [remote rejected] main -> main (pre-receive hook declined)"),
                    "{said}"
                );
            }
            assert_eq!(origin.listing(), before);
        });
    }
}

#[test]
fn lines_of_an_accepted_push_reach_the_client_too() {
    with_work(Kind::Git, |env, origin, gate| {
        origin.hook("post-receive", "echo 'see https://ci.example.org/7' >&2");
        let ran = env.git_in("work", ["push", &gate.url(Door::Git, "app"), "main"]);
        assert!(
            ran.ok && ran.stderr.contains("remote: see https://ci.example.org/7"),
            "{}",
            ran.stderr
        );
    });
}

#[test]
fn a_protected_branch_is_refused_by_its_own_reason_and_others_land() {
    for (policy, lands) in [("", true), ("[policy]\natomic = true\n", false)] {
        let env = TestEnv::new();
        let server = Server::start(&env, Kind::Git);
        let gate = Gate::with(&env, &server, policy);
        let origin = Origin::sample(&env, "app");
        env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
        commit(&env, "work", "file", "the agent's\n");
        let hook = "case $1 in refs/heads/main) echo 'main is protected' >&2; exit 1;; esac";
        origin.hook("update", hook);
        let before = origin.tip("main");
        let said = env.git_in("work", ["push", "origin", "main", "HEAD:refs/heads/free"]).refused();
        assert!(said.contains("remote: main is protected"), "{said}");
        assert!(said.contains("main -> main (hook declined)"), "{said}");
        assert_eq!(origin.tip("main"), before);
        assert_eq!(origin.listing().contains("refs/heads/free"), lands, "{policy}: {said}");
        let shown = env.git(["ls-remote", &gate.url(Door::Git, "app")]).out();
        assert_eq!(shown, origin.listing());
    }
}

#[test]
fn the_origin_hears_of_refs_in_the_clients_order() {
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        env.git_in("work", ["push", "-q", &url, "HEAD:refs/heads/old"]).out();
        commit(env, "work", "file", "new\n");
        origin.hook("pre-receive", "cut -d' ' -f3 >heard");
        let refs = ["HEAD:refs/heads/main", ":refs/heads/old", "HEAD:refs/heads/new"];
        env.git_in("work", ["push", "-q", &url, refs[0], refs[1], refs[2]]).out();
        let heard = std::fs::read_to_string(origin.dir.join("heard")).expect("the hook ran");
        assert_eq!(heard, "refs/heads/main\nrefs/heads/old\nrefs/heads/new\n");
    });
}

#[test]
fn an_origin_that_moved_meanwhile_wins() {
    with_work(Kind::Git, |env, origin, gate| {
        let tip = origin.commit("main", "other", "somebody was faster\n");
        let url = gate.url(Door::Git, "app");
        let said = env.git_in("work", ["push", &url, "main"]).refused();
        assert!(said.contains("fetch first"), "{said}");
        assert_eq!(origin.tip("main"), tip);
    });
    // Between the advertisement and the forward: the old ids are compared at the origin.
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        let hold = Held::at(env, origin, "pre-receive");
        let mut client = env.command("git");
        client.args(["-C", "work", "push", &url, "main"]).stderr(std::process::Stdio::piped());
        let mut client = client.spawn().expect("start a client");
        hold.reached();
        let tip = origin.commit("main", "other", "somebody was faster\n");
        hold.go();
        let mut said = String::new();
        client.stderr.take().expect("its words").read_to_string(&mut said).expect("read them");
        assert!(!client.wait().expect("wait for it").success(), "{said}");
        assert_eq!(origin.tip("main"), tip);
        assert!(said.contains("rejected]"), "{said}");
    });
}

#[test]
fn an_origin_that_may_not_be_written_to_is_named() {
    for (kind, key) in [(Kind::Git, "daemon.receivepack"), (Kind::Http, "http.receivepack")] {
        with_work(kind, |env, origin, _| {
            let before = origin.listing();
            origin.git(["config", key, "false"]);
            let said = env.git_in("work", ["push", "origin", "main"]).refused();
            assert!(
                said.contains("origin") && said.contains("Nothing was sent"),
                "{kind:?}: {said}"
            );
            assert!(!said.contains("[new branch]") && !said.contains("main -> main\n"), "{said}");
            assert_eq!(origin.listing(), before);
        });
    }
}

/// The origin lies on a file system of one megabyte, which the gate alone sees mounted.
#[test]
fn an_origin_that_is_full_says_so() {
    let probe = std::process::Command::new("unshare").args(["--mount", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: nothing may be mounted here");
        return;
    }
    let env = TestEnv::new();
    let origin = Origin::sample(&env, "app");
    let full = env.origins().join("full.git");
    std::fs::create_dir(&full).expect("make the place");
    let mount = format!(
        "mount -t tmpfs -o size=1m tmpfs \"{0}\" && cp -a \"{1}/.\" \"{0}\" && exec \"$@\"",
        full.display(),
        origin.dir.display()
    );
    let server = Server::start(&env, Kind::File);
    let config = crate::gate::config(&env, "data", &server, "");
    let gate = Gate::start_under(
        &env,
        "data",
        &config,
        &["unshare", "--mount", "sh", "-ec", &mount, "sh"],
    );
    let url = gate.url(Door::Git, "full");
    env.git(["clone", "-q", &url, "work"]).out();
    let before = env.git(["ls-remote", &url]).out();
    env.write("work/noise", crate::hostile::noise(3 << 20));
    env.git_in("work", ["add", "noise"]).out();
    env.git_in("work", ["commit", "-q", "-m", "too much"]).out();
    let said = env.git_in("work", ["push", &url, "main"]).refused();
    assert!(said.contains("No space left on device"), "the origin's own words: {said}");
    assert!(said.contains("main -> main (unpacker error)"), "{said}");
    assert_eq!(env.git(["ls-remote", &url]).out(), before);
    env.git_in("work", ["reset", "-q", "--hard", "HEAD~1"]).out();
    commit(&env, "work", "file", "little enough\n");
    env.git_in("work", ["push", "-q", &url, "main"]).out();
}

#[test]
fn the_outcome_of_a_push_is_one_event_without_the_secret() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let config = crate::gate::config(&env, "data", &server, "");
    let gate = Gate::start_under(&env, "data", &config, &["env", "GIT_GATE_LOG_FORMAT=json"]);
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    let secret = crate::push_refused::token(77);
    let old = env.git_in("work", ["rev-parse", "HEAD"]).out();
    commit(&env, "work", "conf.py", &format!("\nT = '{secret}'\n"));
    let bad = env.git_in("work", ["rev-parse", "HEAD"]).out();
    env.git_in("work", ["push", &url, "main"]).refused();
    env.git_in("work", ["reset", "-q", "--hard", "HEAD~1"]).out();
    commit(&env, "work", "conf.py", "T = 'from elsewhere'\n");
    env.git_in("work", ["push", "-q", &url, "main"]).out();
    let log = gate.log();
    assert!(!log.contains(&secret) && !log.contains(&secret[8..]), "{log}");
    let events: Vec<serde_json::Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let one = |message: &str| {
        let mut of = events.iter().filter(|event| event["message"] == message);
        let first = of.next().unwrap_or_else(|| panic!("no event {message}: {log}")).clone();
        assert!(of.next().is_none(), "{message} is told twice: {log}");
        first
    };
    let nested = |value: &serde_json::Value| -> serde_json::Value {
        serde_json::from_str(value.as_str().expect("a string")).expect("JSON within it")
    };
    let refused = one("refused");
    assert_eq!(refused["push.refused_by"], "scan");
    let finding = &nested(&refused["push.findings"])[0];
    assert_eq!(finding["rule"], "github-pat");
    assert_eq!((&finding["path"], &finding["line"]), (&"conf.py".into(), &2.into()));
    assert_eq!(finding["commit"], bad.as_str());
    let fate = &nested(&refused["push.refs"])[0];
    assert_eq!((&fate["name"], &fate["old"]), (&"refs/heads/main".into(), &old.as_str().into()));
    let pushed = one("pushed");
    assert_eq!(nested(&pushed["push.refs"])[0]["new"], origin.tip("main").as_str());
    assert!(pushed["scan.bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{pushed}");
}

#[test]
fn an_origin_that_goes_away_before_its_report_is_looked_at_again() {
    for at in [0, 200, 600, 700, 800] {
        let env = TestEnv::new();
        let origin = Origin::sample(&env, "app");
        let hostile = Hostile::start(&env);
        let gate = Gate::start(
            &env,
            "data",
            &hostile.config(&env, "[limits]\nforward = \"10s\"\nrefresh = \"5s\"\n"),
        );
        env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
        commit(&env, "work", "file", "the agent's\n");
        hostile.now(Trick::CutPush(at));
        let ran = env.git_in("work", ["push", "origin", "main"]);
        hostile.now(Trick::None);
        let tip = env.git_in("work", ["rev-parse", "HEAD"]).out();
        assert_eq!(
            ran.ok,
            origin.tip("main") == tip,
            "cut at {at}: the truth is told:\n{}",
            ran.stderr
        );
        assert_eq!(
            env.git(["ls-remote", &gate.url(Door::Git, "app")]).out(),
            origin.listing(),
            "{at}"
        );
    }
}

#[test]
fn concurrent_pushes_to_one_branch_let_one_win() {
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        for n in 0..6 {
            env.git(["clone", "-q", &url, &format!("racer{n}")]).out();
            commit(env, &format!("racer{n}"), "race", &format!("{n}\n"));
        }
        let rans: Vec<_> = std::thread::scope(|scope| {
            let push = |n: usize| env.git_in(format!("racer{n}"), ["push", "origin", "main"]);
            let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || push(n))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no client panics")).collect()
        });
        assert_eq!(rans.iter().filter(|ran| ran.ok).count(), 1);
        let winner = rans.iter().position(|ran| ran.ok).expect("one won");
        assert_eq!(
            origin.tip("main"),
            env.git_in(format!("racer{winner}"), ["rev-parse", "HEAD"]).out()
        );
        for ran in rans.iter().filter(|ran| !ran.ok) {
            assert!(ran.stderr.contains("rejected]"), "{}", ran.stderr);
        }
    });
}

#[test]
fn sixteen_pushes_to_different_branches_all_land_while_others_read() {
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        for n in 0..16 {
            let tree = env.git_in("work", ["rev-parse", "HEAD^{tree}"]).out();
            let message = format!("commit {n}");
            let commit =
                env.git_in("work", ["commit-tree", "-p", "HEAD", "-m", &message, &tree]).out();
            env.git_in("work", ["update-ref", &format!("refs/heads/lane{n}"), &commit]).out();
        }
        std::thread::scope(|scope| {
            for n in 0..16 {
                let url = &url;
                scope.spawn(move || {
                    env.git_in("work", ["push", "-q", url, &format!("lane{n}")]).out()
                });
                scope.spawn(move || env.git(["ls-remote", url]).out());
            }
        });
        for n in 0..16 {
            let lane = format!("lane{n}");
            assert_eq!(origin.tip(&lane), env.git_in("work", ["rev-parse", &lane]).out());
        }
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
    });
}

#[test]
fn nothing_is_said_to_be_there_before_the_origin_said_so() {
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        let before = origin.listing();
        let hold = Held::at(env, origin, "pre-receive");
        let mut client = env.command("git");
        let mut client = client
            .args(["-C", "work", "push", "-q", &url, "main"])
            .spawn()
            .expect("start a client");
        hold.reached();
        assert_eq!(env.git(["ls-remote", &url]).out(), before, "readers do not see it yet");
        assert!(client.try_wait().expect("look at it").is_none(), "the client still waits");
        hold.go();
        assert!(client.wait().expect("wait for it").success());
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
    });
}

#[test]
fn a_client_that_goes_away_in_the_forward_does_not_undo_it() {
    with_work(Kind::Git, |env, origin, gate| {
        let url = gate.url(Door::Git, "app");
        let hold = Held::at(env, origin, "pre-receive");
        let mut client = env.command("git");
        let mut client = client
            .args(["-C", "work", "push", "-q", &url, "main"])
            .spawn()
            .expect("start a client");
        hold.reached();
        client.kill().expect("the client goes away");
        client.wait().expect("wait for it");
        hold.go();
        gate.wait_for_log("pushed");
        assert_eq!(origin.tip("main"), env.git_in("work", ["rev-parse", "HEAD"]).out());
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
    });
}
