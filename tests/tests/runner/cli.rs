//! The commands: what they print and how they end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{Ran, TestEnv};
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

fn gate<const N: usize>(env: &TestEnv, args: [&str; N]) -> (Option<i32>, Ran) {
    let output = gate::command(env).args(args).stdin(Stdio::null()).output().expect("run git-gate");
    (output.status.code(), Ran::new(&output, format!("git-gate {args:?}")))
}

#[test]
fn one_repository_is_served_without_a_file() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let mut serve = gate::command(&env);
    serve.args(["serve", "--origin", &server.url("app"), "--listen-git", "127.0.0.1:0", "--data"]);
    serve.arg(env.path("data")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = serve.spawn().expect("start git-gate");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let line = lines.next().expect("a line").expect("UTF-8");
    let url = line.split_whitespace().find(|word| word.starts_with("git://")).expect("a URL");
    let listing = env.git(["ls-remote", url]);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("stop it");
    assert!(child.wait().expect("wait for it").success());
    assert!(url.ends_with("/app.git"), "the clone URL is printed: {line}");
    assert_eq!(listing.out(), origin.listing());
}

#[test]
fn a_gate_without_a_door_is_an_error() {
    let env = TestEnv::new();
    let file =
        env.write("closed.toml", "data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"file:///a\"\n");
    for command in ["serve", "check"] {
        let (code, ran) = gate(&env, [command, "--config", file.to_str().expect("UTF-8")]);
        assert_eq!(code, Some(64), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("no door") && ran.stderr.contains("[listen]"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_wrong_config_is_shown_with_its_line() {
    let env = TestEnv::new();
    let file = env.write("bad.toml", "data = \"/d\"\n[listen]\ngti = \"127.0.0.1:0\"\n");
    let file = file.to_str().expect("UTF-8");
    for command in ["serve", "check"] {
        let (code, ran) = gate(&env, [command, "--config", file]);
        assert_eq!(code, Some(64), "{}", ran.stderr);
        assert!(ran.stderr.contains("gti = ") && ran.stderr.contains("^^^"), "{}", ran.stderr);
        assert!(ran.stderr.contains("expected one of `git`, `http`, `ssh`"), "{}", ran.stderr);
    }
    let (code, ran) = gate(&env, ["serve", "--config", "/nowhere.toml"]);
    assert_eq!(code, Some(64), "{}", ran.stderr);
    assert!(ran.stderr.contains("/nowhere.toml"), "{}", ran.stderr);
    assert_eq!(gate(&env, ["serve", "--frobnicate"]).0, Some(64));
}

#[test]
fn check_asks_the_scanner_and_every_origin() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let exact = |name: &str| {
        let text = gate::config(&env, "data", &server, "");
        let text = text
            .replace("\"*\"", &format!("\"{name}\""))
            .replace("/*.git", &format!("/{name}.git"));
        env.write(&format!("{name}.toml"), text).to_str().expect("UTF-8").to_owned()
    };
    let (code, ran) = gate(&env, ["check", "--config", &exact("app")]);
    assert_eq!(code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("gitleaks") && ran.stdout.contains("8.30.1"), "{}", ran.stdout);
    assert!(ran.stdout.contains(&server.url("app")), "{}", ran.stdout);
    let refs = origin.git(["for-each-ref"]).lines().count();
    assert!(ran.stdout.contains(&format!("has {refs} refs")), "{}", ran.stdout);
    let (code, ran) = gate(&env, ["check", "--json", "--config", &exact("nowhere")]);
    assert_eq!(code, Some(69), "{}{}", ran.stdout, ran.stderr);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(json.to_string().contains("nowhere"), "{json}");
    let missing = "[scan]\ngitleaks = \"/nowhere/gitleaks\"\n";
    let file = env.write("missing.toml", gate::config(&env, "data", &server, missing));
    let (code, ran) = gate(&env, ["check", "--config", file.to_str().expect("UTF-8")]);
    assert!(
        code != Some(0) && format!("{}{}", ran.stdout, ran.stderr).contains("/nowhere/gitleaks"),
        "{}",
        ran.stderr
    );
}

#[test]
fn version_names_itself() {
    let env = TestEnv::new();
    let (code, ran) = gate(&env, ["version"]);
    assert_eq!(code, Some(0));
    assert!(ran.stdout.starts_with("git-gate "), "{}", ran.stdout);
}

#[test]
fn a_hangup_reads_the_config_again_and_keeps_the_old_one_if_the_new_is_wrong() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let config =
        gate::config(&env, "data", &server, "").replace("name = \"*\"", "name = \"one/*\"");
    let gate = Gate::start(&env, "data", &config);
    env.git(["ls-remote", &gate.url(Door::Git, "one/app")]).out();
    env.git(["ls-remote", &gate.url(Door::Git, "two/app")]).refused();
    env.write("data.toml", config.replace("one/*", "two/*"));
    kill_process(gate.pid(), Signal::HUP).expect("hang up");
    gate.wait_for_log("config reloaded");
    assert_eq!(env.git(["ls-remote", &gate.url(Door::Git, "two/app")]).out(), origin.listing());
    env.git(["ls-remote", &gate.url(Door::Git, "one/app")]).refused();
    env.write("data.toml", "data = 7\n");
    kill_process(gate.pid(), Signal::HUP).expect("hang up");
    gate.wait_for_log("config not reloaded");
    assert_eq!(env.git(["ls-remote", &gate.url(Door::Git, "two/app")]).out(), origin.listing());
}
