//! A gate that is killed at any instant leaves a folder that the next one serves from or heals.

use std::io::Read;
use std::sync::mpsc::sync_channel;

use rustix::process::Signal;

use crate::env::TestEnv;
use crate::gate::{self, Door, Gate};
use crate::hostile::{Hostile, Trick, hear, noise};
use crate::origin::Origin;
use crate::servers::{Kind, Server};

#[test]
fn a_kill_in_the_middle_of_a_mirror_or_a_refresh_is_healed() {
    let env = TestEnv::new();
    let origin = Origin::sample(&env, "app");
    let hostile = Hostile::start(&env);
    let config = hostile.config(&env, "");
    for (round, at) in [300, 1_000, 40_000, 90_000, 200_000].into_iter().enumerate() {
        origin.commit_files("main", &[("blob", &noise(300_000 + round))]);
        let (told, stalled) = sync_channel(1);
        hostile.now(Trick::Stall(at, told));
        let gate = Gate::start(&env, "data", &config);
        let url = gate.url(Door::Git, "app");
        let mut client = env.command("git");
        let mut client = client.args(["ls-remote", &url]).spawn().expect("start a client");
        hear(&stalled);
        gate.kill();
        assert!(!client.wait().expect("wait for the client").success());
        hostile.now(Trick::None);
        let gate = Gate::start(&env, "data", &config);
        let url = gate.url(Door::Git, "app");
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing(), "killed at {at}");
        env.git(["clone", "-q", "--mirror", &url, &format!("clone-{at}")]).out();
        let mirror = gate.mirror("app");
        let left = std::fs::read_dir(mirror.join("quarantine")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing is left in quarantine");
        let loose =
            env.git(["--git-dir", mirror.to_str().expect("UTF-8"), "count-objects", "-v"]).out();
        assert!(loose.contains("garbage: 0"), "{loose}");
    }
}

#[test]
fn a_damaged_mirror_is_made_anew() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    for damage in ["packed-refs", "HEAD", "objects/pack", "config"] {
        let gate = Gate::before(&env, &server);
        env.git(["ls-remote", &gate.url(Door::Git, "app")]).out();
        let path = gate.mirror("app").join(damage);
        gate.kill();
        if path.is_dir() {
            for file in std::fs::read_dir(&path).expect("list the packs") {
                std::fs::write(file.expect("an entry").path(), b"damaged").expect("damage it");
            }
        } else {
            std::fs::write(&path, b"\0\0damaged").expect("damage it");
        }
        let gate = Gate::before(&env, &server);
        let url = gate.url(Door::Git, "app");
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing(), "{damage}");
        env.git(["clone", "-q", "--mirror", &url, &format!("clone-{}", damage.replace('/', "-"))])
            .out();
    }
}

#[test]
fn a_second_gate_on_one_folder_says_who_holds_it() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let config = gate::config(&env, "data", &server, "");
    let gate = Gate::start(&env, "data", &config);
    let pid = gate.pid().as_raw_nonzero().to_string();
    let mut second = Gate::spawn(&env, "second", &config);
    let mut printed = String::new();
    second.stdout.take().expect("its output").read_to_string(&mut printed).expect("read it");
    let status = second.wait().expect("wait for it");
    let said = std::fs::read_to_string(env.path("second.log")).expect("its log");
    assert!(!status.success() && printed.is_empty(), "{status} {printed}");
    assert!(said.contains(&pid), "names the holder {pid}: {said}");
}

#[test]
fn a_stopped_gate_lets_a_session_end_and_takes_no_new_one() {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let tip = origin.commit_files("main", &[("large", &noise(24 << 20))]);
    let gate = Gate::before(&env, &server);
    let addr = gate.addr(Door::Git).to_owned();
    let mut stream = crate::pkt::connect(&addr);
    let want = crate::pkt::line(format!("want {tip}\n"));
    let fetch = [
        &crate::pkt::line("command=fetch")[..],
        b"0001",
        &want,
        &crate::pkt::line("done\n"),
        b"0000",
    ]
    .concat();
    let request = [crate::pkt::request("git-upload-pack", "app", 2), fetch].concat();
    std::io::Write::write_all(&mut stream, &request).expect("ask");
    stream.shutdown(std::net::Shutdown::Write).expect("close our side");
    let mut first = vec![0; 1 << 20];
    stream.read_exact(&mut first).expect("the pack has begun");
    rustix::process::kill_process(gate.pid(), Signal::TERM).expect("stop the gate");
    gate.wait_for_log("drain");
    assert!(std::net::TcpStream::connect(&addr).is_err(), "no new session is taken");
    let rest = crate::pkt::drain(&mut stream);
    assert!(
        first.len() + rest.len() > 24 << 20,
        "the whole pack came: {}",
        first.len() + rest.len()
    );
    assert!(gate.ended().success());
}
