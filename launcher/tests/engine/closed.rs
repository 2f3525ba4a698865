//! The agent's network is proved closed: each test opens one thing on purpose, and sees the launch
//! refuse. Everything that answers is a listener of the test's own.

use std::process::{Child, Command, Stdio};

use crate::kit::{AGENT_IMAGE, Bench, Ran, await_that, docker, in_netns, is_stopped, ran, succeed};

/// Launches up to a step, lets the test open something, and goes on.
fn launch_with_hole(bench: &mut Bench, step: &str, open: impl FnOnce()) -> Ran {
    bench.variables = vec![("BOTTLE_STOP_AFTER".to_owned(), step.to_owned())];
    let child: Child = bench
        .command(&["run", bench.name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bottle runs");
    await_that(step, || is_stopped(child.id()));
    open();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours");
    ran(child.wait_with_output().expect("bottle ends"))
}

/// The launch was refused for that reason, the agent never ran, and nothing is left.
fn refused(bench: &Bench, ran: &Ran, why: &str) {
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("the self-test failed, and so the agent never ran"), "{ran:?}");
    assert!(ran.err.contains(why), "{why}: {ran:?}");
    assert!(!ran.out.contains("the agent ran"), "{ran:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

const SCRIPT: &str = "echo the agent ran";

#[test]
fn with_nothing_opened_the_agent_runs() {
    let Some(mut bench) = Bench::new("t-closed") else { return };
    bench.script(SCRIPT);
    let ran = launch_with_hole(&mut bench, "networks", || {});
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "the agent ran\n"), "{ran:?}");
}

#[test]
fn the_host_on_the_closed_network_is_found() {
    let Some(mut bench) = Bench::new("t-host") else { return };
    bench.script(SCRIPT);
    let ran = launch_with_hole(&mut bench, "network", || {
        let id = docker(&["network", "inspect", "-f", "{{.Id}}", "bottle-net-t-host"]);
        let gateway = docker(&[
            "network",
            "inspect",
            "-f",
            "{{(index .IPAM.Config 0).Gateway}}",
            "bottle-net-t-host",
        ]);
        let bridge = format!("br-{}", &id[..12]);
        succeed(Command::new("ip").args(["addr", "add", &format!("{gateway}/28"), "dev", &bridge]));
    });
    refused(&bench, &ran, "host: ");
}

#[test]
fn an_ipv6_address_is_found() {
    let Some(mut bench) = Bench::new("t-ipv6") else { return };
    bench.script(SCRIPT);
    let ran = launch_with_hole(&mut bench, "start agent", || {
        let sysctl = "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
        succeed(&mut in_netns("bottle-t-ipv6", &["sh", "-c", sysctl]));
        succeed(&mut in_netns(
            "bottle-t-ipv6",
            &["ip", "-6", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad"],
        ));
    });
    refused(&bench, &ran, "ipv6: there is an address");
}

#[test]
fn a_sidecar_that_routes_is_found() {
    let Some(mut bench) = Bench::new("t-routes") else { return };
    each_that_routes_is_found(&mut bench, "");
}

/// There the probe is in the agent's own network stack, and the frames are gVisor's.
#[test]
fn a_sidecar_that_routes_is_found_from_gvisor() {
    let Some(mut bench) = Bench::new("t-gv-routes") else { return };
    if bench.knows_gvisor() {
        each_that_routes_is_found(&mut bench, "runtime = \"runsc\"\n");
    }
}

/// Each in turn, beside one that does not.
fn each_that_routes_is_found(bench: &mut Bench, runtime: &str) {
    for sidecar in ["pipelock", "git-gate"] {
        bench.manifest(&format!(
            "{runtime}[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"sh\", \"-c\", \"{SCRIPT}\"]\n\
             [[git]]\nname = \"app\"\nupstream = \"https://git.test/app\"\n"
        ));
        let container = format!("bottle-{sidecar}-{}", bench.name);
        let mut filter = None;
        let ran = launch_with_hole(bench, "start agent", || {
            filter = Some(BridgeFilterOff::now());
            let sysctl = "echo 1 > /proc/sys/net/ipv4/ip_forward";
            succeed(&mut in_netns(&container, &["sh", "-c", sysctl]));
        });
        drop(filter);
        refused(bench, &ran, &format!("\n  frames to {sidecar}: it routes"));
        assert_eq!(ran.err.matches("frames to").count(), 1, "{ran:?}");
    }
}

#[test]
fn an_open_admin_port_is_found() {
    let Some(mut bench) = Bench::new("t-admin") else { return };
    bench.script(SCRIPT);
    let mut listener = None;
    let ran = launch_with_hole(&mut bench, "start agent", || {
        listener = Some(listen(in_netns("bottle-pipelock-t-admin", &[]), "9091"));
    });
    drop(listener);
    refused(&bench, &ran, "admin port of pipelock");
}

#[test]
fn a_dead_sidecar_is_told_with_its_last_words() {
    let Some(mut bench) = Bench::new("t-dead") else { return };
    bench.script(SCRIPT);
    let ran = launch_with_hole(&mut bench, "start agent", || {
        docker(&["kill", "bottle-pipelock-t-dead"]);
    });
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(
        ran.err.contains("bottle-pipelock-t-dead ended before it was ready (exit code 137)"),
        "{ran:?}"
    );
    assert!(ran.err.contains("the last lines of bottle-pipelock-t-dead:"), "{ran:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn whatever_should_not_answer_and_does_is_found() {
    let Some(mut bench) = Bench::new("t-answers") else { return };
    // A neighbour in the closed network stands for each of them in turn.
    for (key, port) in [("outside", 443), ("lan", 22), ("metadata", 80), ("dns", 53)] {
        let address = "198.18.255.100";
        let mut lists = String::from("[self_test]\n");
        for other in ["outside", "dns", "metadata", "lan", "ipv6"] {
            let target = format!("\"{address}:{port}\"");
            lists.push_str(&format!("{other} = [{}]\n", if other == key { &target } else { "" }));
        }
        bench.manifest_exactly(&format!(
            "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"sh\", \"-c\", \"{SCRIPT}\"]\n{lists}"
        ));
        let (mut listener, mut filter) = (None, None);
        let ran = launch_with_hole(&mut bench, "start agent", || {
            filter = Some(BridgeFilterOff::now());
            // The address is put on pipelock's own card, and the agent is given the way to it.
            let pipelock = "bottle-pipelock-t-answers";
            let mine = format!("{address}/32");
            succeed(&mut in_netns(pipelock, &["ip", "addr", "add", &mine, "dev", "lo"]));
            let format = "{{(index .NetworkSettings.Networks \"bottle-net-t-answers\").IPAddress}}";
            let via = docker(&["inspect", "-f", format, pipelock]);
            succeed(&mut in_netns("bottle-t-answers", &["ip", "route", "add", &mine, "via", &via]));
            listener = Some(listen(in_netns(pipelock, &[]), &port.to_string()));
        });
        drop((listener, filter));
        refused(&bench, &ran, &format!("{key}: {address}:{port} answers"));
    }
}

#[test]
fn another_bottle_on_the_network_is_found() {
    let Some(mut bench) = Bench::new("t-other") else { return };
    bench.script(SCRIPT);
    let label = "dev.bottle.name=t-neighbour";
    docker(&["network", "create", "--label", label, "bottle-net-t-neighbour"]);
    docker(&[
        "run",
        "-d",
        "--label",
        label,
        "--network",
        "bottle-net-t-neighbour",
        "--name",
        "bottle-t-neighbour",
        AGENT_IMAGE,
        "sleep",
        "600",
    ]);
    let address = docker(&[
        "inspect",
        "-f",
        "{{(index .NetworkSettings.Networks \"bottle-net-t-neighbour\").IPAddress}}",
        "bottle-t-neighbour",
    ]);
    let ran = launch_with_hole(&mut bench, "start agent", || {
        // A cable from the agent to the neighbour, which no launch lays.
        let pid = |name: &str| docker(&["inspect", "-f", "{{.State.Pid}}", name]);
        let (agent, other) = (pid("bottle-t-other"), pid("bottle-t-neighbour"));
        let ip = |words: &str| succeed(Command::new("ip").args(words.split(' ')));
        ip(&format!("link add bt-a netns {agent} type veth peer name bt-b netns {other}"));
        let agent = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            succeed(&mut in_netns("bottle-t-other", &words))
        };
        let other = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            succeed(&mut in_netns("bottle-t-neighbour", &words))
        };
        agent("ip addr add 198.18.255.1/30 dev bt-a");
        agent("ip link set bt-a up");
        other("ip addr add 198.18.255.2/30 dev bt-b");
        other("ip link set bt-b up");
        agent(&format!("ip route add {address}/32 via 198.18.255.2"));
    });
    bench.bottle(&["cleanup", "--force", "t-neighbour"]);
    refused(&bench, &ran, "other bottle: ");
}

#[test]
fn a_resolver_that_asks_outside_is_found() {
    let Some(mut bench) = Bench::new("t-resolver") else { return };
    bench.script(SCRIPT);
    let mut listener = None;
    let ran = launch_with_hole(&mut bench, "start agent", || {
        // Another resolver in the place of the engine's, one that knows an answer.
        let spawned = in_netns("bottle-t-resolver", &["python3", "-c", ANSWERING_DNS])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut spawned = Listener(spawned);
        spawned.await_ready();
        listener = Some(spawned);
        let path = docker(&["inspect", "-f", "{{.ResolvConfPath}}", "bottle-t-resolver"]);
        std::fs::write(path, "nameserver 127.0.0.12\n").expect("we are root");
    });
    drop(listener);
    refused(&bench, &ran, "resolver 127.0.0.12:53: it answers with records from outside");
}

/// With it on, the host drops frames that are not for the bridge's own subnet, whatever a sidecar does.
/// The engine turns it on whenever it makes a network.
struct BridgeFilterOff(String);

const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

impl BridgeFilterOff {
    fn now() -> Self {
        let before = std::fs::read_to_string(BRIDGE_FILTER).unwrap_or_default();
        drop(std::fs::write(BRIDGE_FILTER, "0"));
        Self(before)
    }
}

impl Drop for BridgeFilterOff {
    fn drop(&mut self) {
        drop(std::fs::write(BRIDGE_FILTER, &self.0));
    }
}

const ANSWERING_DNS: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.12", 53))
print("ready", flush=True)
while True:
    q, who = s.recvfrom(1500)
    s.sendto(q[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + q[12:] + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x07", who)
"#;

/// Accepts on a port, TCP, and answers what comes by UDP.
const LISTEN: &str = r#"
import socket, sys, threading
port = int(sys.argv[1])
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(("0.0.0.0", port)); t.listen(64)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", port))
print("ready", flush=True)
def udp():
    while True:
        q, who = u.recvfrom(1500); u.sendto(q, who)
threading.Thread(target=udp, daemon=True).start()
while True: t.accept()
"#;

struct Listener(Child);

impl Listener {
    fn await_ready(&mut self) {
        use std::io::Read as _;
        let mut word = [0; 6];
        let out = self.0.stdout.as_mut().expect("it is piped");
        out.read_exact(&mut word).expect("it says that it is ready");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn listen(mut namespace: Command, port: &str) -> Listener {
    let child = namespace
        .args(["python3", "-c", LISTEN, port])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut listener = Listener(child);
    listener.await_ready();
    listener
}
