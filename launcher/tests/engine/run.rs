//! A launch from its start to its end.

use std::io::Write as _;
use std::process::Stdio;

use crate::kit::{Bench, docker, ran};

#[test]
fn ends_with_the_agents_code_and_leaves_nothing_behind() {
    let Some(bench) = Bench::new("t-ends") else { return };
    bench.script("echo to stdout; echo to stderr >&2; exit 3");
    let ran = bench.run();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(ran.out, "to stdout\n");
    assert!(ran.err.ends_with("to stderr\n"), "{}", ran.err);
    for step in ["images", "networks", "containers", "self-test"] {
        assert!(ran.err.lines().any(|line| line.starts_with(step)), "{step}: {}", ran.err);
    }
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn stdin_reaches_the_agent_byte_for_byte_and_ends() {
    let Some(bench) = Bench::new("t-stdin") else { return };
    bench.script("sha256sum");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let mut child = bench
        .command(&["run", "-q", bench.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bottle runs");
    child.stdin.take().expect("it is piped").write_all(&bytes).expect("bottle reads");
    let ran = ran(child.wait_with_output().expect("bottle ends"));
    let digest = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(&bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(ran.out, format!("{digest}  -\n"), "{ran:?}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn the_agent_is_nobody_and_can_write_where_it_works() {
    let Some(bench) = Bench::new("t-nobody") else { return };
    bench.script(
        "id -u; touch /work/x ~/x /tmp/x && echo wrote; touch /x /etc/x /run/bottle/x 2>/dev/null || echo refused; \
         grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; ls /var/run/docker.sock 2>/dev/null; \
         cp /usr/bin/true /tmp/t 2>/dev/null; cat /tmp/nothing 2>/dev/null; echo end",
    );
    let ran = bench.run();
    let said: Vec<&str> = ran.out.lines().map(str::trim).collect();
    assert_eq!(said[..3], ["1000", "wrote", "refused"], "{ran:?}");
    assert!(said.contains(&"CapEff:\t0000000000000000"), "{ran:?}");
    assert!(said.contains(&"CapBnd:\t0000000000000000"), "{ran:?}");
    assert!(said.contains(&"NoNewPrivs:\t1"), "{ran:?}");
    assert!(said.contains(&"Seccomp:\t2"), "{ran:?}");
    assert!(!ran.out.contains("docker.sock"));
}

#[test]
fn detached_it_can_be_listed_executed_in_read_and_stopped() {
    let Some(bench) = Bench::new("t-detached") else { return };
    bench.script("echo started; sleep 600");
    let ran = bench.bottle(&["run", "--detach", bench.name]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows: serde_json::Value =
        serde_json::from_str(&bench.bottle(&["ls", "--json"]).out).expect("ls speaks JSON");
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["bottle"] == bench.name));
    assert_eq!(row.expect("it is listed")["state"], "running");
    let exec = bench.bottle(&["exec", bench.name, "sh", "-c", "id -u; exit 5"]);
    assert_eq!((exec.code, exec.out.as_str()), (Some(5), "1000\n"), "{exec:?}");
    // A leftover is not what runs.
    let cleanup = bench.bottle(&["cleanup", bench.name]);
    assert!(cleanup.out.contains("left alone, its agent runs"), "{cleanup:?}");
    let again = bench.run();
    assert_eq!(again.code, Some(69));
    let next = "it runs: bottle attach t-detached, or bottle stop t-detached";
    assert!(again.err.contains(next), "{again:?}");
    let curl =
        bench.bottle(&["exec", bench.name, "curl", "-sS", "-m", "5", "https://blocked.test/"]);
    assert_ne!(curl.code, Some(0));
    let logs = bench.bottle(&["logs", "--denied", bench.name]);
    assert!(logs.out.contains("pipelock   DENIED CONNECT blocked.test:443: "), "{logs:?}");
    let stop = bench.bottle(&["stop", "--time", "0", bench.name]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
    assert_eq!(bench.bottle(&["stop", bench.name]).code, Some(69));
}

#[test]
fn run_does_what_plan_says() {
    let Some(bench) = Bench::new("t-plan") else { return };
    bench.script("sleep 600");
    let plan: serde_json::Value =
        serde_json::from_str(&bench.bottle(&["plan", "--json", bench.name]).out).expect("JSON");
    assert_eq!(bench.left(), Vec::<String>::new(), "a plan makes nothing");
    assert_eq!(bench.bottle(&["run", "-d", bench.name]).code, Some(0));
    for planned in plan["containers"].as_array().expect("containers") {
        if planned["role"] == "probe" {
            continue;
        }
        let name = planned["name"].as_str().expect("a name");
        let made: serde_json::Value =
            serde_json::from_str(&docker(&["inspect", name])).expect("JSON");
        let host = &made[0]["HostConfig"];
        assert_eq!(made[0]["Config"]["Image"], planned["image"]);
        assert_eq!(made[0]["Config"]["User"], planned["user"]);
        assert_eq!(host["ReadonlyRootfs"], planned["read_only"]);
        assert_eq!(host["Memory"], planned["limits"]["memory"]);
        assert_eq!(host["PidsLimit"], planned["limits"]["pids"]);
        assert_eq!(host["CapDrop"][0], "ALL");
        assert_eq!(host["CapAdd"], serde_json::Value::Null);
        assert_eq!(host["SecurityOpt"][0], "no-new-privileges");
        assert_eq!(host["Privileged"], false);
        let networks = made[0]["NetworkSettings"]["Networks"].as_object().expect("networks");
        let egress = planned["place"]["networks"]["egress"] == true;
        assert_eq!(networks.len(), if egress { 2 } else { 1 }, "{name}");
    }
    for planned in plan["networks"].as_array().expect("networks") {
        let name = planned["name"].as_str().expect("a name");
        let made: serde_json::Value =
            serde_json::from_str(&docker(&["network", "inspect", name])).expect("JSON");
        assert_eq!(made[0]["IPAM"]["Config"][0]["Subnet"], planned["subnet"]);
        assert_eq!(made[0]["Internal"], planned["closed"]);
    }
}

#[test]
fn stopped_from_elsewhere_a_run_ends_with_the_agents_code() {
    let Some(bench) = Bench::new("t-stopped") else { return };
    bench.script("trap 'exit 7' TERM; echo up; while true; do sleep 1; done");
    let mut child = bench
        .command(&["run", "-q", bench.name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bottle runs");
    let mut word = [0; 3];
    let out = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(out, &mut word).expect("the agent speaks");
    let stop = bench.bottle(&["stop", bench.name]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    let ran = ran(child.wait_with_output().expect("bottle ends"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(7), ""), "{ran:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn the_doctor_proves_a_network_closed_and_leaves_nothing() {
    let Some(bench) = Bench::new("t-doctor") else { return };
    bench.script("true");
    // The first launch assembles the probe's image.
    assert_eq!(bench.run().code, Some(0));
    let ran = bench.bottle(&["doctor", "--json", bench.name]);
    let checks: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let state = |name: &str| {
        let check = checks.as_array()?.iter().find(|check| check["name"] == name)?;
        check["state"].as_str()
    };
    for name in ["engine", "version", "runtimes", "self-test"] {
        assert_eq!(state(name), Some("good"), "{name}: {ran:?}");
    }
    assert_eq!(docker(&["ps", "-aq", "--filter", "label=dev.bottle.name=doctor"]), "");
}

#[test]
fn gvisor_runs_it_where_the_engine_knows_it() {
    let Some(bench) = Bench::new("t-gvisor") else { return };
    if !bench.knows_gvisor() {
        return;
    }
    std::fs::write(bench.home.path().join("secret"), "x").expect("a file");
    bench.manifest(&format!(
        "runtime = \"runsc\"\n[agent]\nimage = \"{}\"\ncommand = [\"sh\", \"-c\", \"cat /proc/version; id -u; \
         curl -sS -m 5 https://blocked.test/; curl -sS -o /tmp/x -w '%{{http_code}}' http://cred-proxy:9099/a/app/git-receive-pack; \
         git ls-remote git://git-gate/nothing; curl -sS -m 3 --noproxy '*' http://198.51.100.7/\"]\n\
         [[git]]\nname = \"app\"\nupstream = \"https://git.test/app\"\n\
         [[cred_proxy.routes]]\npath = \"/a/\"\nupstream = \"https://api.test\"\nauth_scheme = \"token\"\ntoken_file = \"~/secret\"\n",
        crate::kit::AGENT_IMAGE
    ));
    let ran = bench.run();
    assert_ne!(ran.code, Some(0), "nobody answers outside: {ran:?}");
    assert!(ran.out.contains("gvisor") && ran.out.ends_with("\n1000\n403"), "{ran:?}");
    for said in [
        "CONNECT tunnel failed, response 403",
        "repository 'nothing' not found",
        "Failed to connect to 198.51.100.7",
    ] {
        assert!(ran.err.contains(said), "{said}: {ran:?}");
    }
}

/// Named, but with no network of its own: the self-test sees as much from beside.
#[test]
fn with_a_runtime_that_is_named_the_network_is_proved_as_well() {
    let Some(bench) = Bench::new("t-named") else { return };
    let manifest = |self_test: &str| {
        format!(
            "runtime = \"runc\"\n[agent]\nimage = \"{}\"\ncommand = [\"sh\", \"-c\", \"grep CapEff /proc/self/status\"]\n{self_test}",
            crate::kit::AGENT_IMAGE
        )
    };
    bench.manifest(&manifest(""));
    let ran = bench.run();
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "CapEff:\t0000000000000000\n"), "{ran:?}");
    // What answers is seen: pipelock stands for a host outside.
    let plan: serde_json::Value =
        serde_json::from_str(&bench.bottle(&["plan", "--json", bench.name]).out).expect("JSON");
    let pipelock =
        plan["containers"][0]["place"]["networks"]["address"].as_str().expect("an address");
    bench.manifest_exactly(&manifest(&format!(
        "[self_test]\noutside = [\"{pipelock}:8888\"]\ndns = []\nmetadata = []\nlan = []\nipv6 = []\n"
    )));
    let ran = bench.run();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(
        ran.err.contains(&format!("outside: {pipelock}:8888 answers: it accepts connections")),
        "{ran:?}"
    );
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn a_manifest_is_never_taken_from_where_bottle_is_called() {
    let Some(bench) = Bench::new("t-where") else { return };
    let repository = bench.home.path().join("repository");
    for folder in ["", ".bottle", ".config/bottle", "bottle"] {
        let folder = repository.join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["t-where.toml", "bottle.toml"] {
            std::fs::write(folder.join(name), "[agent]\nimage = \"x\"\n").expect("a file");
        }
    }
    bench.manifest_of("other", "");
    std::fs::write(bench.home.path().join(".config/bottle/broken.toml"), b"\xff").expect("a file");
    let broken = bench.bottle(&["plan", "broken"]);
    assert_eq!(broken.code, Some(64), "{broken:?}");
    for words in ["broken.toml cannot be read", "next: mend the file", "valid UTF-8"] {
        assert!(broken.err.contains(words), "{words}: {broken:?}");
    }
    std::fs::remove_file(bench.home.path().join(".config/bottle/broken.toml"))
        .expect("it is there");
    let mut command = bench.command(&["plan", bench.name]);
    // An XDG folder that is not absolute is none (its own specification).
    let ran = ran(command
        .current_dir(&repository)
        .env("XDG_CONFIG_HOME", ".config")
        .output()
        .expect("bottle runs"));
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(
        ran.err.contains("there is no manifest ") && ran.err.contains("next: bottle init t-where"),
        "{ran:?}"
    );
    assert!(ran.err.contains("; there are: other\n"), "{ran:?}");
    let by_path = bench.bottle(&["plan", "./repository/t-where"]);
    assert_eq!(by_path.code, Some(64), "{by_path:?}");
}

#[test]
fn the_logs_of_all_sidecars_are_one_and_what_each_denied_is_marked() {
    let Some(bench) = Bench::new("t-logs") else { return };
    std::fs::write(bench.home.path().join("secret"), "x").expect("a file");
    bench.manifest(&format!(
        "[agent]\nimage = \"{}\"\ncommand = [\"sleep\", \"600\"]\n\
         [[git]]\nname = \"app\"\nupstream = \"https://git.test/app\"\n\
         [[cred_proxy.routes]]\npath = \"/a/\"\nupstream = \"https://api.test\"\nauth_scheme = \"token\"\ntoken_file = \"~/secret\"\n",
        crate::kit::AGENT_IMAGE
    ));
    let ran = bench.bottle(&["run", "--detach", bench.name]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let exec = |words: &[&str]| {
        let all: Vec<&str> = ["exec", bench.name].iter().chain(words).copied().collect();
        bench.bottle(&all)
    };
    // What an agent chooses stands in a log: it does not steer the reader's terminal.
    exec(&["curl", "-sS", "http://cred-proxy:9099/%1b%5b2J\u{9b}31m"]);
    exec(&["git", "ls-remote", "git://git-gate/nothing"]);
    exec(&["git", "ls-remote", "git://git-gate/a\u{1b}[2Jb"]);
    exec(&["curl", "-sS", "-m", "5", "https://blocked.test/"]);
    exec(&["curl", "-sS", "http://cred-proxy:9099/a/app/git-receive-pack"]);
    exec(&["git", "ls-remote", "git://git-gate/app"]);
    let logs = bench.bottle(&["logs", bench.name]).out;
    let denied = bench.bottle(&["logs", "--denied", bench.name]).out;
    assert_eq!(bench.bottle(&["stop", "-t", "0", bench.name]).code, Some(0));
    assert!(!logs.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{logs:?}");
    // In the order of time, whoever says it.
    let who: Vec<&str> = denied.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(who, ["cred-proxy", "git-gate", "git-gate", "pipelock", "cred-proxy"], "{denied}");
    assert!(denied.lines().all(|line| line.contains(" DENIED ")), "{denied}");
    for words in [
        "DENIED refused · GET · /a/app/git-receive-pack · cred-proxy does not carry git",
        "DENIED CONNECT blocked.test:443: domain not in allowlist",
    ] {
        assert!(denied.contains(words), "{words}: {denied}");
    }
    // What fails is no denial, and is marked as well.
    assert!(logs.contains("git-gate   FAILED app: origin is unreachable"), "{logs}");
    for line in denied.lines() {
        assert!(logs.contains(line), "{line} is not among all: {logs}");
    }
}
