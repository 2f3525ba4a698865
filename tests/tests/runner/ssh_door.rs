//! The ssh door, through the system's own ssh client.

use crate::env::{Ran, TestEnv};
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

/// ssh that trusts the host key it meets first, and keeps it in the test's folder.
fn ssh(env: &TestEnv) -> String {
    let pins = env.path("ssh_pins");
    format!(
        "ssh -F none -o UserKnownHostsFile={} -o StrictHostKeyChecking=accept-new -o BatchMode=yes \
         -o IdentityFile=none",
        pins.display()
    )
}

fn with_gate(test: impl FnOnce(&TestEnv, &Origin<'_>, &Gate<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let gate = Gate::start(&env, "data", &config(&env, &server));
    test(&env, &origin, &gate);
}

fn config(env: &TestEnv, server: &Server) -> String {
    gate::config(env, "data", server, "").replace("[listen]", "[listen]\nssh = \"127.0.0.1:0\"")
}

fn git<const N: usize>(env: &TestEnv, args: [&str; N]) -> Ran {
    let command = format!("core.sshCommand={}", ssh(env));
    env.git([&["-c", &command][..], &args[..]].concat())
}

#[test]
fn serves_every_version_of_the_protocol() {
    with_gate(|env, origin, gate| {
        let url = gate.url(Door::Ssh, "app");
        for version in ["protocol.version=0", "protocol.version=1", "protocol.version=2"] {
            let dir = format!("clone-{}", &version[17..]);
            assert_eq!(git(env, ["-c", version, "ls-remote", &url]).out(), origin.listing());
            git(env, ["-c", version, "clone", "-q", &url, &dir]).out();
            let tip = origin.commit("main", "later", version);
            git(env, ["-c", version, "-C", &dir, "fetch", "-q"]).out();
            assert_eq!(env.git_in(&dir, ["rev-parse", "origin/main"]).out(), tip);
            env.git_in(&dir, ["fsck", "--full", "--strict"]).out();
        }
    });
}

#[test]
fn runs_nothing_but_gits_two_commands() {
    with_gate(|env, _, gate| {
        let addr = gate.addr(Door::Ssh);
        let (host, port) = addr.rsplit_once(':').expect("a port");
        for command in ["", "sh -c id", "git-upload-archive 'app'", "git-upload-pack '../app'; id"]
        {
            let mut run = env.command("sh");
            run.args(["-c", &format!("{} -p {port} {host} \"$0\"", ssh(env)), command]);
            let output = run.output().expect("ssh runs");
            assert!(!output.status.success(), "{command}");
            assert!(output.stdout.is_empty(), "{command}: {}", output.stdout.escape_ascii());
            assert!(!output.stderr.is_empty(), "{command} is told why");
        }
        let said = git(env, ["ls-remote", &gate.url(Door::Ssh, "no/such")]).refused();
        assert!(said.contains("origin"), "{said}");
    });
}

#[test]
fn keeps_its_key_over_a_restart() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    for _ in 0..2 {
        let gate = Gate::start(&env, "data", &config(&env, &server));
        // another port is another host to ssh: the key is what must not change
        let alias = format!("core.sshCommand={} -o HostKeyAlias=gate", ssh(&env));
        let url = gate.url(Door::Ssh, "app");
        assert_eq!(env.git(["-c", &alias, "ls-remote", &url]).out(), origin.listing());
    }
}
