//! Several writers and readers at once: the origin decides, ref by ref or all together, and nobody reads more than it has.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::held::Held;
use crate::origin::Origin;
use crate::push_verdict::commit;
use crate::servers::{Kind, Server};

#[test]
fn of_several_refs_one_that_moved_meanwhile_is_refused_alone_unless_all_stand_together() {
    for (policy, option, lands) in [
        ("", "--no-atomic", true),
        ("[policy]\natomic = true\n", "--no-atomic", false),
        ("", "--atomic", false),
    ] {
        let env = TestEnv::new();
        let server = Server::start(&env, Kind::Git);
        let gate = Gate::with(&env, &server, policy);
        let origin = Origin::sample(&env, "app");
        let url = gate.url(Door::Git, "app");
        env.git(["clone", "-q", &url, "work"]).out();
        commit(&env, "work", "file", "the agent's\n");
        // Between the advertisement and the origin's own look at its refs somebody else moves one of them.
        let held = Held::at(&env, &origin, "pre-receive");
        let mut client = env.command("git");
        client.args(["-C", "work", "push", option, &url, "main", "HEAD:refs/heads/free"]);
        let client = client.stderr(Stdio::piped()).spawn().expect("start a client");
        held.reached();
        let tip = origin.commit("main", "other", "somebody was faster\n");
        held.go();
        let ended = client.wait_with_output().expect("wait for it");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{said}");
        assert_eq!(origin.tip("main"), tip, "nothing is overwritten");
        assert!(said.contains("main -> main (fetch first)"), "{policy}{option}: {said}");
        assert_eq!(origin.listing().contains("refs/heads/free"), lands, "{policy}{option}: {said}");
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
    }
}

#[test]
fn readers_see_what_the_origin_has_while_it_is_pushed_to() {
    const PUSHES: usize = 8;
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    // Every state that the origin will have, in its order: main moves, and a branch comes and goes.
    let mut tips = vec![origin.tip("main")];
    for n in 0..PUSHES {
        commit(&env, "work", "file", &format!("{n}\n"));
        tips.push(env.git_in("work", ["rev-parse", "HEAD"]).out());
    }
    let order: BTreeMap<&str, usize> =
        tips.iter().enumerate().map(|(at, tip)| (tip.as_str(), at)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for door in [Door::Git, Door::Http] {
            let (env, gate, origin, order, done) = (&env, &gate, &origin, &order, &done);
            scope.spawn(move || {
                let url = gate.url(door, "app");
                let mut reads = 0;
                while !done.load(Ordering::SeqCst) || reads == 0 {
                    let before = order[origin.tip("main").as_str()];
                    let listing = env.git(["ls-remote", &url]).out();
                    let after = order[origin.tip("main").as_str()];
                    let main = at(&listing, "refs/heads/main").expect("main is there");
                    let seen = order.get(main).expect("a value the origin had");
                    assert!((before..=after).contains(seen), "{before} <= {seen} <= {after}");
                    if let Some(lane) = at(&listing, "refs/heads/lane") {
                        assert!(order[lane] <= after, "a branch that is not there yet");
                    }
                    reads += 1;
                }
            });
        }
        for (n, tip) in tips.iter().enumerate().skip(1) {
            let door = if n % 2 == 0 { Door::Git } else { Door::Http };
            let lane = if n % 2 == 0 {
                ":refs/heads/lane".to_owned()
            } else {
                format!("{tip}:refs/heads/lane")
            };
            env.git_in(
                "work",
                ["push", "-q", &gate.url(door, "app"), &format!("{tip}:refs/heads/main"), &lane],
            )
            .out();
            assert_eq!(origin.tip("main"), *tip, "what was said to be there is there");
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// The value of a ref in a listing.
fn at<'a>(listing: &'a str, name: &str) -> Option<&'a str> {
    listing.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix('\t'))
}

#[test]
fn after_a_push_its_own_client_and_all_others_read_it_at_once() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Ssh);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    for n in 0..3 {
        commit(&env, "work", "file", &format!("{n}\n"));
        env.git_in("work", ["push", "-q", &url, "main"]).out();
        let tip = env.git_in("work", ["rev-parse", "HEAD"]).out();
        assert_eq!(origin.tip("main"), tip);
        env.git(["clone", "-q", &url, &format!("clone{n}")]).out();
        assert_eq!(env.git_in(format!("clone{n}"), ["rev-parse", "HEAD"]).out(), tip);
    }
}
