//! The ssh door, through the system's own ssh client.

use crate::env::TestEnv;
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

fn with_gate(test: impl FnOnce(&TestEnv, &Origin<'_>, &Gate<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let gate = Gate::start(&env, "data", &gate::config(&env, "data", &server, ""));
    test(&env, &origin, &gate);
}

#[test]
fn serves_every_version_of_the_protocol() {
    with_gate(|env, origin, gate| {
        let url = gate.url(Door::Ssh, "app");
        for version in ["protocol.version=0", "protocol.version=1", "protocol.version=2"] {
            let dir = format!("clone-{}", &version[17..]);
            assert_eq!(env.git(["-c", version, "ls-remote", &url]).out(), origin.listing());
            env.git(["-c", version, "clone", "-q", &url, &dir]).out();
            let tip = origin.commit("main", "later", version);
            env.git(["-c", version, "-C", &dir, "fetch", "-q"]).out();
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
            run.args(["-c", &format!("{} -p {port} {host} \"$0\"", env.ssh()), command]);
            let output = run.output().expect("ssh runs");
            assert!(!output.status.success(), "{command}");
            assert!(output.stdout.is_empty(), "{command}: {}", output.stdout.escape_ascii());
            assert!(!output.stderr.is_empty(), "{command} is told why");
        }
        let mut run = env.command("sh");
        let output = run.args(["-c", &format!("{} -p {port} -s {host} sftp", env.ssh())]).output();
        let said = String::from_utf8_lossy(&output.expect("ssh runs").stderr).into_owned();
        assert!(said.contains("subsystem request failed"), "{said}");
        let said = env.git(["ls-remote", &gate.url(Door::Ssh, "no/such")]).refused();
        assert!(said.contains("origin"), "{said}");
    });
}

#[test]
fn lets_in_only_keys_that_are_named_where_keys_are_named() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    for (name, kind) in [("mine", "ed25519"), ("rsa", "rsa"), ("other", "ed25519")] {
        let mut keygen = env.command("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-f"]).arg(env.path(name));
        crate::env::run(&mut keygen).out();
    }
    let public = |name: &str| std::fs::read_to_string(env.path(name)).expect("read a key");
    let allowed = format!(
        "# agents\n{}restrict {}from=\"192.0.2.1\" {}",
        public("mine.pub"),
        public("rsa.pub"),
        public("other.pub")
    );
    let file = env.write("allowed", allowed);
    let keys = format!("[listen]\nssh_keys = \"{}\"", file.display());
    let config = gate::config(&env, "data", &server, "").replace("[listen]", &keys);
    let gate = Gate::start(&env, "data", &config);
    let url = gate.url(Door::Ssh, "app");
    let with = |key: &str| {
        let ssh = env
            .ssh()
            .replace("IdentityFile=none", &format!("IdentityFile={key} -o IdentitiesOnly=yes"));
        env.git(["-c", &format!("core.sshCommand={ssh}"), "ls-remote", &url])
    };
    for key in ["mine", "rsa"] {
        assert_eq!(with(key).out(), origin.listing(), "{key}");
    }
    for key in ["other", "none"] {
        let said = with(key).refused();
        assert!(said.contains("Permission denied (publickey)"), "{key}: {said}");
    }
    assert!(gate.log().contains("from"), "the line that opens to nobody is told");
    env.write("allowed", public("other.pub"));
    with("mine").refused();
    assert_eq!(with("other").out(), origin.listing(), "the file is read as it is now");
    env.write("allowed", "");
    with("other").refused();
    drop(gate);
    let check = |file: &str| {
        let text = config.replace("\"*\"", "\"app\"").replace("/*.git", "/app.git");
        let file = env.write(file, text);
        let ran = gate::command(&env).arg("check").arg("--config").arg(file).output();
        let ran = ran.expect("run git-gate check");
        (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (good, said) = check("check.toml");
    assert!(!good && said.contains("FAILED ssh keys"), "{said}");
    env.write("allowed", public("mine.pub"));
    let (_, said) = check("check.toml");
    assert!(said.contains("ok     ssh keys: 1 may come in"), "{said}");
    env.write("allowed", "");
    let status = Gate::spawn(&env, "empty", &config).wait().expect("it ends by itself");
    let said = std::fs::read_to_string(env.path("empty.log")).expect("its log");
    assert!(!status.success() && said.contains("listen.ssh_keys"), "{said}");
}

#[test]
fn keeps_its_key_over_a_restart() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    for _ in 0..2 {
        let gate = Gate::start(&env, "data", &gate::config(&env, "data", &server, ""));
        // another port is another host to ssh: the key is what must not change
        let alias = format!("core.sshCommand={} -o HostKeyAlias=gate", env.ssh());
        let url = gate.url(Door::Ssh, "app");
        assert_eq!(env.git(["-c", &alias, "ls-remote", &url]).out(), origin.listing());
    }
}
