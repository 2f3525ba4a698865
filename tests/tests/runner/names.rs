//! Repository names are judged before anything touches the disk or the origin.

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::origin::Origin;
use crate::pkt;
use crate::servers::{Kind, Server};

#[test]
fn names_that_could_mean_something_else_are_refused_without_a_trace() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let gate = Gate::before(&env, &server);
    let before = everything_below(&env);
    let long = "a".repeat(3000);
    for name in [
        "../app",
        "a/../../app",
        "/etc/passwd",
        "%2e%2e/app",
        "%61pp",
        "a\0b",
        "app\x7f",
        "~root/app",
        "a\nb",
        "-oProxyCommand=x",
        ".git",
        "app.git/config",
        "a/.hidden",
        "app.lock",
        "a//b",
        "a\\b",
        "",
        "*",
        "a b",
        "$(id)",
        &long,
    ] {
        let answer = pkt::exchange(gate.addr(Door::Git), &pkt::request("git-upload-pack", name, 2));
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert!(said.contains("ERR ") || said.is_empty(), "{name:?}: {said}");
        let path = name.escape_default().to_string().replace(' ', "%20");
        let get = format!(
            "GET /{path}/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
        );
        let answer = pkt::exchange(gate.addr(Door::Http), get.as_bytes());
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert!(said.starts_with("HTTP/1.1 4"), "{name:?}: {said}");
    }
    assert_eq!(server.connections(), 0, "the origin heard nothing of them");
    assert_eq!(everything_below(&env), before);
}

#[test]
fn an_unknown_repository_reads_the_same_as_a_forbidden_one() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    Origin::sample(&env, "app");
    let config = crate::gate::config(&env, "data", &server, "")
        .replace("\"*\"", "\"app\"")
        .replace("/*.git", "/app.git");
    let gate = Gate::start(&env, "data", &config);
    env.git(["ls-remote", &gate.url(Door::Git, "app")]).out();
    for door in [Door::Git, Door::Http] {
        let said = env.git(["ls-remote", &gate.url(door, "other")]).refused();
        assert!(said.contains("not found") || said.contains("404"), "{door:?}: {said}");
    }
}

#[test]
fn patterned_repositories_are_mirrored_on_first_use() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let config =
        crate::gate::config(&env, "data", &server, "").replace("name = \"*\"", "name = \"hub/*\"");
    let gate = Gate::start(&env, "data", &config);
    for name in ["one", "deep/er/two"] {
        let origin = Origin::sample(&env, name);
        assert!(!gate.mirror(&format!("hub/{name}")).exists());
        let url = gate.url(Door::Git, &format!("hub/{name}"));
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing());
        assert!(gate.mirror(&format!("hub/{name}")).join("HEAD").exists());
    }
}

/// Every path below the data folder, and beside it.
fn everything_below(env: &TestEnv) -> Vec<String> {
    let mut find = env.command("find");
    let said = crate::env::run(find.args(["data", "origins", "-print"])).stdout;
    let mut paths: Vec<String> = said.lines().map(str::to_owned).collect();
    paths.sort();
    paths
}
