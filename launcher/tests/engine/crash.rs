//! The launcher dies at every step; what it leaves is found, removed, and does not stand in the way.

use std::process::Stdio;

use crate::kit::{AGENT_IMAGE, Bench, await_that, is_stopped};

const STEPS: [&str; 15] = [
    "images",
    "network",
    "networks",
    "volumes",
    "create pipelock",
    "copy pipelock",
    "connect pipelock",
    "start pipelock",
    "create agent",
    "create probe",
    "copy agent",
    "start agent",
    "self-test",
    "open",
    "nothing: killed while the agent runs",
];

#[test]
fn killed_after_any_step_it_is_cleaned_up_and_launched_again() {
    let Some(mut bench) = Bench::new("t-crash") else { return };
    for step in STEPS {
        bench.manifest(&format!(
            "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"sh\", \"-c\", \"echo up; sleep 600\"]\n"
        ));
        bench.variables = vec![("BOTTLE_STOP_AFTER".to_owned(), step.to_owned())];
        let mut child = bench
            .command(&["run", bench.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bottle runs");
        bench.variables.clear();
        let by_itself = step.starts_with("nothing");
        await_that(step, || match by_itself {
            true => bench.bottle(&["exec", bench.name, "ls", "/run/bottle/open"]).code == Some(0),
            false => is_stopped(child.id()),
        });
        if !by_itself {
            // While its launcher lives, a bottle is no leftover.
            let minded = bench.bottle(&["cleanup", "--force", bench.name]);
            assert!(!minded.out.contains("removed"), "{step}: {minded:?}");
        }
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        let made = bench.left();
        let dry = bench.bottle(&["cleanup", "--dry-run", bench.name]);
        assert_eq!(dry.code, Some(0), "{step}: {dry:?}");
        assert_eq!(bench.left(), made, "{step}: a dry run removes nothing");
        // An agent that was let go runs on, and is somebody's.
        let runs = by_itself || step == "open";
        let cleanup = bench.bottle(&["cleanup", bench.name]);
        assert_eq!(cleanup.code, Some(0), "{step}: {cleanup:?}");
        if runs {
            assert!(cleanup.out.contains("its agent runs"), "{step}: {cleanup:?}");
            let forced = bench.bottle(&["cleanup", "--force", bench.name]);
            assert_eq!(forced.code, Some(0), "{step}: {forced:?}");
        }
        assert_eq!(bench.left(), Vec::<String>::new(), "{step}");
        let twice = bench.bottle(&["cleanup", bench.name]);
        assert_eq!((twice.code, twice.out.as_str()), (Some(0), "nothing is left over\n"), "{step}");
    }
    bench.script("exit 4");
    assert_eq!(bench.run().code, Some(4));
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn an_orphan_of_any_part_stops_the_launch_before_it_begins() {
    let Some(bench) = Bench::new("t-orphan") else { return };
    bench.script("exit 0");
    let ours = "dev.bottle.name=t-orphan";
    for part in ["t-orphan", "pipelock-t-orphan", "probe-t-orphan"] {
        let name = format!("bottle-{part}");
        crate::kit::docker(&["create", "--label", ours, "--name", &name, AGENT_IMAGE, "true"]);
        let ran = bench.run();
        crate::kit::docker(&["rm", "-v", &name]);
        assert_eq!(ran.code, Some(69), "{ran:?}");
        assert!(ran.err.contains(&format!("container {name} (created, made ")), "{ran:?}");
        assert!(ran.err.contains("next: run `bottle cleanup t-orphan`"), "{ran:?}");
        assert!(!ran.err.contains("images"), "no work has begun: {ran:?}");
    }
    // A git-gate of that name is nobody's orphan: this bottle has none.
    let name = "bottle-git-gate-t-orphan";
    crate::kit::docker(&["create", "--name", name, AGENT_IMAGE, "true"]);
    let ran = bench.run();
    crate::kit::docker(&["rm", "-v", name]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // Where it has one, it is; and so is a cred-proxy.
    std::fs::write(bench.home.path().join("secret"), "x").expect("a file");
    bench.manifest(&format!(
        "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"true\"]\n\
         [[git]]\nname = \"app\"\nupstream = \"https://git.test/app\"\n\
         [[cred_proxy.routes]]\npath = \"/a/\"\nupstream = \"https://api.test\"\nauth_scheme = \"token\"\ntoken_file = \"~/secret\"\n"
    ));
    for part in ["git-gate-t-orphan", "cred-proxy-t-orphan"] {
        let name = format!("bottle-{part}");
        crate::kit::docker(&["create", "--label", ours, "--name", &name, AGENT_IMAGE, "true"]);
        let ran = bench.run();
        crate::kit::docker(&["rm", "-v", &name]);
        assert_eq!(ran.code, Some(69), "{ran:?}");
        assert!(ran.err.contains(&format!("container {name} (created, made ")), "{ran:?}");
        assert!(!ran.err.contains("images"), "no work has begun: {ran:?}");
    }
}

#[test]
fn a_signal_undoes_a_launch() {
    let Some(mut bench) = Bench::new("t-signal") else { return };
    bench.script("sleep 600");
    bench.variables = vec![("BOTTLE_STOP_AFTER".to_owned(), "start pipelock".to_owned())];
    let mut child = bench
        .command(&["run", bench.name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bottle runs");
    await_that("it stops", || is_stopped(child.id()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    assert_eq!(bench.left(), Vec::<String>::new());
}
