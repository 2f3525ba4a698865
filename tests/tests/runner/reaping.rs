//! In a container the gate is process 1, and inherits the children of the dead: none of them stays behind.

use std::process::Command;

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::held::scanner;
use crate::origin::Origin;
use crate::push_verdict::commit;
use crate::servers::{Kind, Server};

/// Whether this user may make a namespace of processes, as in no container by default.
fn namespaces() -> bool {
    let probe = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    probe.is_ok_and(|output| output.status.success())
}

#[test]
fn a_scan_that_was_ended_leaves_no_dead_process() {
    if !namespaces() {
        eprintln!("skipped: no namespace of processes may be made here");
        return;
    }
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    // The scanner's own child outlives it, until both are killed.
    let hangs = "PATH=/usr/bin:/bin; sleep 1000 & sleep 1000";
    let more = format!("{}[limits]\nscan = \"1s\"\n", scanner(&env, hangs));
    let config = crate::gate::config(&env, "data", &server, &more);
    let gate = Gate::start_under(
        &env,
        "data",
        &config,
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
    );
    let url = gate.url(Door::Git, "app");
    env.git(["clone", "-q", &url, "work"]).out();
    commit(&env, "work", "file", "clean\n");
    let before = origin.listing();
    for _ in 0..3 {
        let said = env.git_in("work", ["push", &url, "main"]).refused();
        assert!(said.contains("limits.scan"), "{said}");
    }
    assert_eq!(origin.listing(), before);
    let mut wait = env.command("sh");
    // Being buried takes a moment; who never is, is there after this command's two minutes as well. A scanner that is
    // held ready for the next push lives.
    let script = "one=$(pgrep -P \"$1\"); test -n \"$one\"; while ps -o stat= --ppid \"$one\" | grep -q Z; do :; done";
    wait.args(["-ec", script, "sh"]).arg(gate.pid().as_raw_nonzero().to_string());
    crate::env::run(&mut wait).out();
    gate.kill();
}
