//! The origin is away, says no, is slow, or is not who it should be: one clear line, and never what was true before.

use std::net::TcpListener;

use crate::env::TestEnv;
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

const DOORS: [Door; 2] = [Door::Git, Door::Http];

#[test]
fn a_stopped_origin_fails_the_request_and_a_started_one_is_found_again() {
    for kind in [Kind::Git, Kind::Ssh, Kind::Http, Kind::Https] {
        let env = TestEnv::new();
        let mut server = Server::start(&env, kind);
        let gate = Gate::before(&env, &server);
        let origin = Origin::sample(&env, "app");
        let url = gate.url(Door::Git, "app");
        env.git(["ls-remote", &url]).out();
        server.stop();
        for door in DOORS {
            for version in ["protocol.version=0", "protocol.version=2"] {
                let said = env.git(["-c", version, "ls-remote", &gate.url(door, "app")]).refused();
                assert!(said.contains("origin"), "{kind:?} {door:?} {version}: {said}");
                shows_nothing_of_the_host(&env, &said);
            }
        }
        let log = gate.log();
        let chain = log.lines().find(|line| line.contains("error.blame=\"origin\""));
        let chain = chain.unwrap_or_else(|| panic!("{kind:?}: no failure in the log:\n{log}"));
        assert!(chain.contains("os error"), "{kind:?}: the log has the cause: {chain}");
        server.restart(&env);
        origin.commit("main", "README", "while it was away\n");
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing(), "{kind:?}");
    }
}

#[test]
fn the_origins_own_words_reach_the_client() {
    for kind in [Kind::Git, Kind::Ssh, Kind::Http, Kind::File] {
        let env = TestEnv::new();
        let server = Server::start(&env, kind);
        let gate = Gate::before(&env, &server);
        for door in DOORS {
            let said = env.git(["ls-remote", &gate.url(door, "nowhere")]).refused();
            let words = [
                "no such repository",
                "not found",
                "not exported",
                "does not appear to be a git repository",
                "404",
            ];
            assert!(words.iter().any(|word| said.contains(word)), "{kind:?} {door:?}: {said}");
            shows_nothing_of_the_host(&env, &said);
        }
        assert!(!gate.mirror("nowhere").exists(), "nothing was made for it");
    }
}

#[test]
fn an_origin_that_never_answers_ends_at_a_named_limit() {
    let env = TestEnv::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
    let server = Server::start(&env, Kind::File);
    let config = gate::config(
        &env,
        "data",
        &server,
        "[limits]\nrefresh = \"300ms\"\nfirst_mirror = \"300ms\"\nconnect = \"300ms\"\n",
    );
    let address = silent.local_addr().expect("its address");
    let config = config
        .replace(&format!("file://{}/", env.origins().display()), &format!("git://{address}/"));
    let gate = Gate::start(&env, "data", &config);
    for door in DOORS {
        let said = env.git(["ls-remote", &gate.url(door, "app")]).refused();
        assert!(said.contains("origin") && said.contains("first_mirror"), "{door:?}: {said}");
    }
    drop(silent);
}

#[test]
fn an_unpinned_or_changed_host_key_stops_the_connection_and_is_named() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Ssh);
    Origin::sample(&env, "app");
    let known_hosts = server.files().join("known_hosts");
    let pinned = std::fs::read_to_string(&known_hosts).expect("read known_hosts");
    let mut keygen = env.command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(env.path("other"));
    crate::env::run(&mut keygen).out();
    let other = std::fs::read_to_string(env.path("other.pub")).expect("read a key");
    let host = pinned.split(' ').next().expect("the host").to_owned();
    let changed = format!("{host} {other}");
    for (name, text) in [("changed", changed.as_str()), ("unknown", "elsewhere ssh-ed25519 AAAA\n")]
    {
        std::fs::write(&known_hosts, text).expect("write known_hosts");
        let gate = Gate::start(&env, name, &gate::config(&env, name, &server, ""));
        let said = env.git(["ls-remote", &gate.url(Door::Git, "app")]).refused();
        assert!(said.contains("host key"), "{name}: {said}");
        shows_nothing_of_the_host(&env, &said);
    }
    let hashed = hashed(&env, &pinned);
    std::fs::write(&known_hosts, hashed).expect("write known_hosts");
    let gate = Gate::start(&env, "hashed", &gate::config(&env, "hashed", &server, ""));
    env.git(["ls-remote", &gate.url(Door::Git, "app")]).out();
}

/// The same pin as `ssh-keygen -H` writes it.
fn hashed(env: &TestEnv, pinned: &str) -> String {
    let file = env.write("to-hash", pinned);
    let mut keygen = env.command("ssh-keygen");
    crate::env::run(keygen.args(["-H", "-f"]).arg(&file)).out();
    let text = std::fs::read_to_string(file).expect("read it back");
    assert!(text.starts_with("|1|"), "{text}");
    text
}

#[test]
fn identities_of_every_kind_open_the_origin_and_an_encrypted_one_is_named() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Ssh);
    Origin::sample(&env, "app");
    let id = server.files().join("id");
    let kinds: [(&str, &[&str], &str); 4] = [
        ("ed25519", &["-t", "ed25519"], ""),
        ("ecdsa", &["-t", "ecdsa"], ""),
        ("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM"], ""),
        ("encrypted", &["-t", "ed25519"], "a passphrase"),
    ];
    for (name, kind, passphrase) in kinds {
        for file in [id.clone(), id.with_extension("pub")] {
            std::fs::remove_file(file).expect("remove the key before");
        }
        let mut keygen = env.command("ssh-keygen");
        crate::env::run(keygen.args(kind).args(["-q", "-N", passphrase, "-f"]).arg(&id)).out();
        let public = std::fs::read(id.with_extension("pub")).expect("read the public key");
        std::fs::write(server.files().join("authorized_keys"), public)
            .expect("write authorized_keys");
        let gate = Gate::start(&env, name, &gate::config(&env, name, &server, ""));
        let ran = env.git(["ls-remote", &gate.url(Door::Git, "app")]);
        if passphrase.is_empty() {
            ran.out();
        } else {
            let said = ran.refused();
            assert!(said.contains("encrypted"), "{said}");
            shows_nothing_of_the_host(&env, &said);
        }
    }
}

/// No path of the machine and no credential stands in what a client is shown.
fn shows_nothing_of_the_host(env: &TestEnv, said: &str) {
    let home = env.path("");
    for secret in [home.to_str().expect("UTF-8"), "id_ed25519", "known_hosts\"", "/tmp/"] {
        assert!(!said.contains(secret), "shows {secret}: {said}");
    }
}
