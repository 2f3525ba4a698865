//! Every call the engine refuses shows its own words, the step, the container and the next command.

use std::process::{Command, Stdio};

use crate::kit::{AGENT_IMAGE, Bench, Ran, await_that, docker, is_stopped, ran};

/// Launches up to a step, lets the test spoil something, and goes on.
fn spoiled(bench: &mut Bench, step: &str, spoil: impl FnOnce()) -> Ran {
    bench.script("echo the agent ran");
    bench.variables = vec![("BOTTLE_STOP_AFTER".to_owned(), step.to_owned())];
    let child = bench
        .command(&["run", bench.name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bottle runs");
    await_that(step, || is_stopped(child.id()));
    spoil();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours");
    ran(child.wait_with_output().expect("bottle ends"))
}

fn told(ran: &Ran, step: &str, words: &str, next: &str) {
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains(&format!("error: {step}: ")), "{step}: {ran:?}");
    assert!(ran.err.contains(words), "{words}: {ran:?}");
    assert!(ran.err.contains(&format!("next: {next}")), "{next}: {ran:?}");
    assert!(!ran.out.contains("the agent ran"), "{ran:?}");
}

#[test]
fn an_image_that_is_not_there_and_cannot_be_pulled() {
    let Some(bench) = Bench::new("t-noimage") else { return };
    bench.manifest("[agent]\nimage = \"127.0.0.1:9/nothing:1\"\n");
    let ran = bench.run();
    told(&ran, "pull 127.0.0.1:9/nothing:1", "connection refused", "bottle doctor");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_name_that_is_taken_in_the_meantime() {
    let Some(mut bench) = Bench::new("t-conflict") else { return };
    let ran = spoiled(&mut bench, "images", || {
        docker(&["create", "--name", "bottle-pipelock-t-conflict", AGENT_IMAGE, "true"]);
    });
    docker(&["rm", "bottle-pipelock-t-conflict"]);
    told(
        &ran,
        "create bottle-pipelock-t-conflict",
        "The container name \"/bottle-pipelock-t-conflict\" is already in use",
        "bottle cleanup t-conflict; then bottle run t-conflict",
    );
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_network_that_is_gone() {
    let Some(mut bench) = Bench::new("t-gone") else { return };
    let ran = spoiled(&mut bench, "copy pipelock", || {
        docker(&["network", "rm", "bottle-egress-t-gone"]);
    });
    // The engine takes a network that is not there for a container that does not run yet.
    let step = "start bottle-pipelock-t-gone";
    told(&ran, step, "not found", "bottle cleanup t-gone; then bottle run t-gone");
    assert_eq!(bench.left(), Vec::<String>::new());
    let ran = spoiled(&mut bench, "copy pipelock", || {
        docker(&["rm", "bottle-pipelock-t-gone"]);
    });
    let step = "connect to the egress network: bottle-pipelock-t-gone";
    told(&ran, step, "No such container", "bottle cleanup t-gone; then bottle run t-gone");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_container_that_is_gone() {
    let Some(mut bench) = Bench::new("t-vanished") else { return };
    let ran = spoiled(&mut bench, "create pipelock", || {
        docker(&["rm", "bottle-pipelock-t-vanished"]);
    });
    let step = "copy files into bottle-pipelock-t-vanished";
    told(&ran, step, "No such container", "bottle cleanup t-vanished");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_subnet_that_is_taken_in_the_meantime_is_planned_anew() {
    let Some(mut bench) = Bench::new("t-race") else { return };
    let plan = {
        bench.script("true");
        bench.bottle(&["plan", "--json", "t-race"]).out
    };
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    let subnet = plan["networks"][0]["subnet"].as_str().expect("a subnet").to_owned();
    let ran = spoiled(&mut bench, "images", || {
        docker(&["network", "create", "--subnet", &subnet, "t-race-taker"]);
    });
    docker(&["network", "rm", "t-race-taker"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "the agent ran\n"), "{ran:?}");
}

#[test]
fn a_mount_that_cannot_be() {
    let Some(bench) = Bench::new("t-mount") else { return };
    bench.manifest(&format!(
        "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"true\"]\nworkdir = \"/etc/passwd\"\n"
    ));
    let ran = bench.run();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("bottle-t-mount"), "{ran:?}");
    assert!(ran.err.contains("not a directory") || ran.err.contains("mount"), "{ran:?}");
    assert!(ran.err.contains("next: bottle plan t-mount shows the mounts"), "{ran:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_runtime_nobody_knows() {
    let Some(bench) = Bench::new("t-runtime") else { return };
    bench.manifest(&format!(
        "runtime = \"kata-nowhere\"\n[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"true\"]\n"
    ));
    let ran = bench.run();
    told(
        &ran,
        "create bottle-pipelock-t-runtime",
        "kata-nowhere",
        "docker info shows the runtimes",
    );
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_build_that_fails_shows_its_last_lines() {
    let Some(bench) = Bench::new("t-build") else { return };
    let folder = bench.home.path().join("agent");
    std::fs::create_dir(&folder).expect("a folder");
    let recipe =
        format!("FROM {AGENT_IMAGE}\nRUN echo a line before; echo broken thing >&2; exit 7\n");
    std::fs::write(folder.join("Dockerfile"), recipe).expect("a file");
    bench.manifest("[agent]\ndockerfile = \"~/agent/Dockerfile\"\n");
    let failed = bench.run();
    assert_eq!(failed.code, Some(69), "{failed:?}");
    assert!(failed.err.contains("error: build bottle/agent:t-build: "), "{failed:?}");
    assert!(failed.err.contains("returned a non-zero code: 7"), "{failed:?}");
    assert!(
        failed.err.contains("  | a line before") && failed.err.contains("  | broken thing"),
        "{failed:?}"
    );
    // And one that works is built and run.
    let recipe = format!("FROM {AGENT_IMAGE}\nCOPY word /word\nCMD [\"cat\", \"/word\"]\n");
    std::fs::write(folder.join("Dockerfile"), recipe).expect("a file");
    std::fs::write(folder.join("word"), "built\n").expect("a file");
    let built = bench.run();
    docker(&["rmi", "bottle/agent:t-build"]);
    assert_eq!((built.code, built.out.as_str()), (Some(0), "built\n"), "{built:?}");
}

#[test]
fn an_engine_that_does_not_run() {
    let Some(mut bench) = Bench::new("t-noengine") else { return };
    bench.script("true");
    let socket = bench.home.path().join("nothing.sock");
    bench.variables = vec![("DOCKER_HOST".to_owned(), format!("unix://{}", socket.display()))];
    let step = format!("connect to the engine at unix://{}", socket.display());
    for arguments in [&["run", "t-noengine"][..], &["ls"], &["cleanup"]] {
        let ran = bench.bottle(arguments);
        told(&ran, &step, "No such file", "sudo systemctl start docker; then bottle doctor");
    }
    let doctor = bench.bottle(&["doctor"]);
    assert_eq!(doctor.code, Some(69));
    assert!(doctor.out.contains("BAD  engine"), "{doctor:?}");
    // A plan needs no engine.
    assert_eq!(bench.bottle(&["plan", "t-noengine"]).code, Some(0));
    // A socket that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    told(&bench.run(), &step, "Connection refused", "sudo systemctl start docker");
}

#[test]
fn a_socket_that_may_not_be_opened() {
    let Some(bench) = Bench::new("t-rights") else { return };
    bench.script("true");
    // Somebody who is not in the engine's group, and may read this home.
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(bench.home.path()).status();
    assert!(opened.expect("chmod").success());
    let bottle = bench.command(&["run", "t-rights"]);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(bottle.get_program())
        .args(bottle.get_args())
        .env_clear()
        .env("HOME", bench.home.path())
        .env("PATH", crate::kit::variable("PATH").unwrap_or_default());
    let ran = ran(command.output().expect("setpriv is installed"));
    let step = "connect to the engine at unix:///var/run/docker.sock";
    told(&ran, step, "Permission denied", "sudo usermod -aG docker $USER");
}
