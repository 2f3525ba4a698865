//! Every call the engine refuses shows its own words, the step, the container and the next command.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use bottle::docker::Engine;

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
    told(
        &ran,
        "pull the image, which the engine does not have: 127.0.0.1:9/nothing:1",
        "connection refused",
        "docker pull the image, or name another in the manifest",
    );
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_name_that_is_taken_in_the_meantime() {
    let Some(mut bench) = Bench::new("t-conflict") else { return };
    let ran = spoiled(&mut bench, "images", || {
        docker(&["create", "--name", "bottle-pipelock-t-conflict", AGENT_IMAGE, "true"]);
    });
    docker(&["rm", "-v", "bottle-pipelock-t-conflict"]);
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
        docker(&["rm", "-v", "bottle-pipelock-t-gone"]);
    });
    let step = "connect to the egress network: bottle-pipelock-t-gone";
    told(&ran, step, "No such container", "bottle cleanup t-gone; then bottle run t-gone");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_container_that_is_gone() {
    let Some(mut bench) = Bench::new("t-vanished") else { return };
    let ran = spoiled(&mut bench, "create pipelock", || {
        docker(&["rm", "-v", "bottle-pipelock-t-vanished"]);
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
    told(&ran, "create bottle-t-runtime", "kata-nowhere", "docker info shows the runtimes");
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
        told(&ran, &step, "No such file", "DOCKER_HOST names that engine: start it, or unset");
    }
    let no_address = vec![("DOCKER_HOST".to_owned(), "ssh://somewhere".to_owned())];
    let with_socket = std::mem::replace(&mut bench.variables, no_address);
    let ran = bench.bottle(&["ls"]);
    let no_engine = "connect to the engine at ssh://somewhere";
    told(&ran, no_engine, "not supported: ssh://somewhere", "set DOCKER_HOST to unix:///path or");
    bench.variables = with_socket;
    let doctor = bench.bottle(&["doctor"]);
    assert_eq!(doctor.code, Some(69));
    assert!(doctor.out.contains("BAD  engine"), "{doctor:?}");
    // A plan needs no engine.
    assert_eq!(bench.bottle(&["plan", "t-noengine"]).code, Some(0));
    // A socket that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    told(&bench.run(), &step, "Connection refused", "DOCKER_HOST names that engine");
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

/// A launch publishes no port itself. The call that starts its containers is tried with one that does.
#[test]
fn a_port_that_is_taken() {
    let Some(bench) = Bench::new("t-port") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let publish = format!("127.0.0.1:{port}:80");
    let label = format!("dev.bottle.name={}", bench.name);
    let make = |name: &str| {
        docker(&[
            "create",
            "--name",
            name,
            "--label",
            &label,
            "-p",
            &publish,
            AGENT_IMAGE,
            "sleep",
            "600",
        ])
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let start = |name: &str| {
        runtime.block_on(async { Engine::connect(None).await?.start(name, "t-port").await })
    };
    make("bottle-t-port-first");
    make("bottle-t-port-second");
    let by_a_program =
        start("bottle-t-port-first").expect_err("a program has the port").to_string();
    drop(listener);
    start("bottle-t-port-first").expect("the port is free");
    let by_a_container = start("bottle-t-port-second").expect_err("the first has it").to_string();
    for (said, name, words) in [
        (by_a_program, "bottle-t-port-first", "address already in use"),
        (by_a_container, "bottle-t-port-second", "port is already allocated"),
    ] {
        assert!(said.starts_with(&format!("start {name}: ")), "{said}");
        assert!(said.contains(words) && said.contains(&port.to_string()), "{said}");
        assert!(said.contains("next: docker ps shows who holds the port"), "{said}");
    }
}

#[test]
fn a_folder_is_sent_to_be_built_without_what_dockerignore_leaves_out() {
    let Some(bench) = Bench::new("t-ignore") else { return };
    let folder = bench.home.path().join("agent");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    for name in [
        "keep",
        "a/keep",
        "a/b/x.log",
        "x.log",
        "node_modules/m",
        "a/node_modules/m",
        "out/x",
        "out/kept",
        "dot.d/.h",
    ] {
        write(name, name);
    }
    write(".dockerignore", "# what is made\n**/node_modules\n*.log\nout\n!out/kept\nDockerfile\n");
    write(
        "Dockerfile",
        &format!(
            "FROM {AGENT_IMAGE}\nCOPY . /context\nCMD [\"sh\", \"-c\", \"cd /context && ls -AR\"]\n"
        ),
    );
    bench.manifest("[agent]\ndockerfile = \"~/agent/Dockerfile\"\n");
    let ours = bench.run();
    // Docker's own client is the judge.
    let folder = folder.to_str().expect("ASCII");
    let judge = "bottle-test/ignore:1";
    let built = Command::new("docker")
        .args(["build", "-q", "-t", judge, folder])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .expect("docker is installed");
    assert!(built.status.success(), "{built:?}");
    let theirs = docker(&["run", "--rm", "--network", "none", judge]);
    docker(&["rmi", judge, "bottle/agent:t-ignore"]);
    assert_eq!(ours.code, Some(0), "{ours:?}");
    let names = |listing: &str| listing.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(names(ours.out.trim()), names(&theirs));
    assert!(ours.out.contains("kept") && !ours.out.contains("node_modules"), "{ours:?}");
}

#[test]
fn what_failed_is_kept_on_demand() {
    let Some(bench) = Bench::new("t-keep") else { return };
    bench.manifest(&format!(
        "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"true\"]\nworkdir = \"/etc/passwd\"\n"
    ));
    let ran = bench.bottle(&["run", "--keep", bench.name]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("kept as it is; bottle cleanup --force t-keep removes it"), "{ran:?}");
    assert!(!bench.left().is_empty());
    assert_eq!(bench.bottle(&["cleanup", "--force", bench.name]).code, Some(0));
    assert_eq!(bench.left(), Vec::<String>::new());
}
