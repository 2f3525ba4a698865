//! Answers hold what the origin confirmed after the request arrived: moved, renamed, pruned, emptied, renewed.

use std::io::Write;
use std::sync::Barrier;

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::origin::Origin;
use crate::pkt;
use crate::servers::{Kind, Server};

/// Changes the origin in every way and looks, each time, at what the gate shows next.
fn follows(kind: Kind) {
    let env = TestEnv::new();
    let server = Server::start(&env, kind);
    follows_behind(&env, &server);
}

fn follows_behind(env: &TestEnv, server: &Server) {
    let gate = Gate::before(env, server);
    let origin = Origin::sample(env, "app");
    let url = gate.url(Door::Git, "app");
    let shown =
        |what: &str| assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing(), "{what}");
    shown("as it began");
    origin.commit("main", "README", "moved\n");
    shown("a branch moved forward");
    origin.git(["update-ref", "refs/heads/main", "refs/heads/main~2"]);
    shown("a branch moved back");
    origin.git(["update-ref", "-d", "refs/heads/topic/a"]);
    shown("a branch deleted");
    origin.git(["update-ref", "refs/heads/topic", "refs/heads/main"]);
    shown("a file where a folder was");
    origin.git(["update-ref", "-d", "refs/heads/topic"]);
    origin.git(["update-ref", "refs/heads/topic/b/c", "refs/heads/main"]);
    shown("a folder where a file was");
    origin.git(["branch", "-m", "main", "trunk"]);
    shown("the default branch renamed");
    assert_eq!(symref(env, &url), "ref: refs/heads/trunk\tHEAD");
    origin.git(["symbolic-ref", "HEAD", "refs/heads/topic/b/c"]);
    shown("HEAD at another branch");
    origin.git(["update-ref", "--no-deref", "HEAD", "refs/heads/trunk"]);
    shown("HEAD detached");
    origin.git(["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    shown("HEAD unborn");
    origin.git(["tag", "-f", "-a", "-m", "moved", "v1", "trunk"]);
    shown("a tag moved");
    origin.git(["update-ref", "refs/pull/2/merge", "refs/heads/trunk"]);
    origin.git(["update-ref", "-d", "refs/pull/1/head"]);
    shown("refs outside heads and tags");
    let mirror = gate.mirror("app");
    if mirror.exists() {
        let mirror = mirror.to_str().expect("a UTF-8 path").to_owned();
        assert_eq!(
            env.git(["ls-remote", &mirror]).out(),
            origin.listing(),
            "stock git reads the mirror"
        );
    }
}

fn symref(env: &TestEnv, url: &str) -> String {
    let said = env.git(["ls-remote", "--symref", url, "HEAD"]).out();
    said.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn follows_an_origin_behind_git_daemon() {
    follows(Kind::Git);
}

#[test]
fn follows_an_origin_behind_ssh() {
    follows(Kind::Ssh);
}

#[test]
fn follows_an_origin_behind_a_url_as_scp_writes_it() {
    let env = TestEnv::new();
    match Server::start_scp(&env) {
        Some(server) => follows_behind(&env, &server),
        None => eprintln!("left out: such a URL means port 22, which only root may open here"),
    }
}

#[test]
fn follows_an_origin_behind_http() {
    follows(Kind::Http);
}

#[test]
fn follows_an_origin_behind_https() {
    follows(Kind::Https);
}

#[test]
fn trusts_an_https_origin_by_the_systems_roots() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Https);
    let origin = Origin::sample(&env, "app");
    let config = crate::gate::config(&env, "data", &server, "");
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("ca_file"))
        .fold(String::new(), |config, line| config + line + "\n");
    let roots = format!("SSL_CERT_FILE={}", server.files().join("ca.pem").display());
    let gate = Gate::start_under(&env, "data", &config, &["env", &roots]);
    assert_eq!(env.git(["ls-remote", &gate.url(Door::Git, "app")]).out(), origin.listing());
}

#[test]
fn a_second_listing_in_one_session_is_a_new_question() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let mut stream = pkt::connect(gate.addr(Door::Git));
    stream.write_all(&pkt::request("git-upload-pack", "app", 2)).expect("ask");
    pkt::read_section(&mut stream).expect("the capabilities");
    let list = [
        &pkt::line("command=ls-refs")[..],
        b"0001",
        &pkt::line("ref-prefix refs/heads/main"),
        b"0000",
    ];
    for text in ["once", "twice", "again"] {
        stream.write_all(&list.concat()).expect("ask");
        let tip = origin.tip("main");
        let listed = pkt::read_section(&mut stream).expect("the refs");
        assert_eq!(listed, [format!("{tip} refs/heads/main\n").into_bytes()], "{text}");
        origin.commit("main", "README", text);
    }
}

#[test]
fn follows_an_origin_in_a_folder() {
    follows(Kind::File);
}

#[test]
fn an_empty_repository_is_served_as_empty_and_then_filled() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::empty(&env, "app");
    origin.git(["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    for (door, version) in
        [(Door::Git, "0"), (Door::Git, "2"), (Door::Http, "0"), (Door::Http, "2")]
    {
        let (url, protocol) = (gate.url(door, "app"), format!("protocol.version={version}"));
        let dir = format!("empty-{door:?}-{version}");
        assert_eq!(env.git(["-c", &protocol, "ls-remote", &url]).out(), "");
        env.git(["-c", &protocol, "clone", "-q", &url, &dir]).out();
        if version == "2" {
            let head = env.git_in(&dir, ["symbolic-ref", "HEAD"]).out();
            assert_eq!(head, "refs/heads/trunk", "an unborn HEAD is followed");
        }
    }
    let tip = origin.commit("trunk", "README", "first\n");
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "filled"]).out();
    assert_eq!(env.git_in("filled", ["rev-parse", "HEAD"]).out(), tip);
    origin.git(["update-ref", "-d", "refs/heads/trunk"]);
    assert_eq!(env.git(["ls-remote", &url]).out(), "", "emptied again");
}

#[test]
fn a_sha256_repository_is_served_as_one() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::with_format(&env, "app", "sha256");
    origin.fill();
    for (door, version) in [(Door::Git, "0"), (Door::Git, "2"), (Door::Http, "2")] {
        let (dir, protocol) =
            (format!("clone-{door:?}-{version}"), format!("protocol.version={version}"));
        env.git(["-c", &protocol, "clone", "-q", &gate.url(door, "app"), &dir]).out();
        assert_eq!(env.git_in(&dir, ["rev-parse", "HEAD"]).out(), origin.tip("main"));
        env.git_in(&dir, ["fsck", "--full", "--strict"]).out();
    }
}

#[test]
fn many_refs_and_an_octopus_come_whole() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let mut stream = String::new();
    for n in 0..4 {
        stream += &format!(
            "commit refs/heads/arm{n}\ncommitter D <d@example.org> 1690000000 +0000\ndata 3\narm\nfrom refs/heads/main^0\nM 100644 inline arm{n}\ndata 1\n{n}\n"
        );
    }
    stream += "commit refs/heads/octopus\ncommitter D <d@example.org> 1690000000 +0000\ndata 4\njoin\nfrom refs/heads/arm0\n";
    stream += "merge refs/heads/arm1\nmerge refs/heads/arm2\nmerge refs/heads/arm3\n\n";
    for n in 0..20_000 {
        stream += &format!("reset refs/heads/many/{n:05}\nfrom refs/heads/arm{}\n\n", n % 4);
    }
    origin.fast_import(stream.as_bytes());
    origin.git(["pack-refs", "--all"]);
    let url = gate.url(Door::Git, "app");
    assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
    env.git(["clone", "-q", "--mirror", &url, "mirror"]).out();
    env.git_in("mirror", ["fsck", "--full", "--strict", "--no-dangling"]).out();
    origin.commit("many/12500", "new", "one of twenty thousand\n");
    assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
}

#[test]
fn requests_that_come_together_share_refreshes_and_each_is_fresh() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let origin = Origin::sample(&env, "app");
    let url = gate.url(Door::Git, "app");
    env.git(["ls-remote", &url]).out();
    let before = server.connections();
    let barrier = Barrier::new(CROWD);
    let tip = origin.commit("main", "README", "before all of them\n");
    let answers: Vec<String> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            env.git(["ls-remote", &url, "refs/heads/main"]).out()
        };
        let threads: Vec<_> = (0..CROWD).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no client panics")).collect()
    });
    for answer in answers {
        assert_eq!(answer, format!("{tip}\trefs/heads/main"));
    }
    let asked = server.connections() - before;
    if !crate::gate::stand_in() {
        assert!(asked < CROWD, "{CROWD} requests made {asked} connections to the origin");
    }
}

#[test]
fn a_shallow_origin_is_served_as_shallow() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let full = Origin::sample(&env, "full");
    let source = format!("file://{}", full.dir.display());
    let dir = env.origins().join("app.git");
    env.git([
        "clone",
        "-q",
        "--bare",
        "--depth=1",
        "--no-single-branch",
        &source,
        dir.to_str().expect("UTF-8"),
    ])
    .out();
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "clone"]).out();
    assert_eq!(env.git_in("clone", ["rev-list", "--count", "HEAD"]).out(), "1");
    assert_eq!(env.git_in("clone", ["rev-parse", "HEAD"]).out(), full.tip("main"));
    env.git_in("clone", ["fsck", "--full", "--strict"]).out();
    let count = |dir: &str| env.git_in(dir, ["rev-list", "--count", "HEAD"]).out();
    full.git(["tag", "-d", "light"]);
    env.git_in("origins/app.git", ["update-ref", "-d", "refs/tags/light"]).out();
    env.git_in("origins/app.git", ["fetch", "-q", "--depth=2", "origin"]).out();
    env.git(["clone", "-q", &url, "deeper"]).out();
    assert_eq!(count("deeper"), count("origins/app.git"), "the boundary moved, no ref did");
    env.git_in("origins/app.git", ["fetch", "-q", "--unshallow", "origin"]).out();
    env.git(["clone", "-q", &url, "whole"]).out();
    assert_eq!(count("whole"), "3", "no boundary any more");
    env.git_in("whole", ["fsck", "--full", "--strict"]).out();
    env.git_in("clone", ["fetch", "-q", "--unshallow"]).out();
    assert_eq!(count("clone"), "3");
}

const CROWD: usize = 16;
