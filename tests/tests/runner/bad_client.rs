//! Clients that break the protocol, say nothing, or say too much: each ends at a named limit and holds nobody back.

use std::io::Write;
use std::net::Shutdown;

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::origin::Origin;
use crate::pkt;
use crate::servers::{Kind, Server};

/// A gate in front of one sample repository, `app`.
fn with_gate(limits: &str, test: impl FnOnce(&TestEnv, &Origin<'_>, &Gate<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let gate = Gate::with(&env, &server, &format!("[limits]\n{limits}\n"));
    test(&env, &origin, &gate);
    for door in [Door::Git, Door::Http] {
        assert_eq!(
            env.git(["ls-remote", &gate.url(door, "app")]).out(),
            origin.listing(),
            "still serves"
        );
    }
}

#[test]
fn lengths_no_packet_has_end_the_connection() {
    with_gate("", |_, _, gate| {
        for bad in ["0001", "0002", "0003", "fff1", "ffff", "zzzz", "-001", "00 5", "GET "] {
            let answer = pkt::exchange(gate.addr(Door::Git), bad.as_bytes());
            assert!(answer.len() < 500, "{bad}: {}", answer.escape_ascii());
            // In the middle of a v2 session as well, where 0001 and 0002 mean something, but not here.
            let session =
                [pkt::request("git-upload-pack", "app", 2), bad.as_bytes().to_vec()].concat();
            pkt::exchange(gate.addr(Door::Git), &session);
        }
    });
}

#[test]
fn every_cut_of_a_session_ends_it() {
    with_gate("", |_, origin, gate| {
        let want = pkt::line(format!("want {}\n", origin.tip("main")));
        let fetch =
            [&pkt::line("command=fetch")[..], b"0001", &want, &pkt::line("done\n"), b"0000"]
                .concat();
        let whole = [pkt::request("git-upload-pack", "app", 2), fetch].concat();
        for cut in (0..whole.len()).step_by(7) {
            let mut stream = pkt::connect(gate.addr(Door::Git));
            stream.write_all(&whole[..cut]).expect("send a part");
            stream.shutdown(Shutdown::Write).expect("close our side");
            pkt::drain(&mut stream);
        }
    });
}

#[test]
fn a_session_sent_byte_by_byte_is_served() {
    with_gate("", |_, origin, gate| {
        let tip = origin.tip("main");
        let want = pkt::line(format!("want {tip}\n"));
        let fetch =
            [&pkt::line("command=fetch")[..], b"0001", &want, &pkt::line("done\n"), b"0000"]
                .concat();
        let mut stream = pkt::connect(gate.addr(Door::Git));
        for byte in [pkt::request("git-upload-pack", "app", 2), fetch].concat() {
            stream.write_all(&[byte]).expect("send a byte");
        }
        stream.shutdown(Shutdown::Write).expect("close our side");
        let answer = pkt::drain(&mut stream);
        assert!(answer.windows(8).any(|bytes| bytes == b"packfile"), "{}", answer.escape_ascii());
        assert!(answer.windows(4).any(|bytes| bytes == b"PACK"), "{}", answer.escape_ascii());
    });
}

#[test]
fn silent_clients_end_at_the_limit_and_hold_nobody_back() {
    with_gate("sessions = 4\nrequest = \"500ms\"\nclient_idle = \"500ms\"", |env, origin, gate| {
        let mut silent: Vec<_> = (0..8).map(|_| pkt::connect(gate.addr(Door::Git))).collect();
        silent.extend((0..8).map(|_| pkt::connect(gate.addr(Door::Http))));
        let mut half: Vec<_> = (0..4).map(|_| pkt::connect(gate.addr(Door::Git))).collect();
        for stream in &mut half {
            stream.write_all(&pkt::request("git-upload-pack", "app", 2)).expect("ask");
        }
        let url = gate.url(Door::Git, "app");
        assert_eq!(
            env.git(["ls-remote", &url]).out(),
            origin.listing(),
            "others are served meanwhile"
        );
        for mut stream in silent.into_iter().chain(half) {
            pkt::drain(&mut stream);
        }
    });
}

#[test]
fn a_client_that_does_not_read_ends_at_the_limit() {
    with_gate("client_idle = \"500ms\"", |_, origin, gate| {
        let tip = origin.commit_files("main", &[("large", &crate::hostile::noise(24 << 20))]);
        let want = pkt::line(format!("want {tip}\n"));
        let fetch =
            [&pkt::line("command=fetch")[..], b"0001", &want, &pkt::line("done\n"), b"0000"]
                .concat();
        let mut stream = pkt::connect(gate.addr(Door::Git));
        stream
            .write_all(&[pkt::request("git-upload-pack", "app", 2), fetch].concat())
            .expect("ask");
        // Not reading is all this client does; that the gate has let go of it is seen in its log.
        gate.wait_for_log("client_idle");
        drop(stream);
    });
}

#[test]
fn floods_of_wants_and_haves_end_at_the_limit() {
    with_gate("wants = 10\nhaves = 10", |_, origin, gate| {
        let tip = origin.tip("main");
        for word in ["want", "have"] {
            let mut fetch =
                [&pkt::line("command=fetch")[..], b"0001", &pkt::line(format!("want {tip}\n"))]
                    .concat();
            for n in 0..5000 {
                fetch.extend(pkt::line(format!("{word} {n:040x}\n")));
            }
            fetch.extend(b"0000");
            let session = [pkt::request("git-upload-pack", "app", 2), fetch].concat();
            let answer = pkt::exchange(gate.addr(Door::Git), &session);
            let said = String::from_utf8_lossy(&answer).into_owned();
            assert!(said.contains("ERR ") && said.contains(&format!("{word}s")), "{word}: {said}");
        }
    });
}

#[test]
fn a_want_outside_the_refs_is_not_ours() {
    with_gate("", |env, origin, gate| {
        let hidden = origin.commit("hidden", "file", "not to be had\n");
        let url = gate.url(Door::Git, "app");
        env.git(["ls-remote", &url]).out();
        env.git(["clone", "-q", "--mirror", &url, "before"]).out();
        origin.git(["update-ref", "-d", "refs/heads/hidden"]);
        let blob = origin.git([
            "hash-object",
            "-w",
            &env.write("loose", "never reached\n").display().to_string(),
        ]);
        env.git(["init", "-q", "client"]).out();
        for id in [&hidden, &blob, &"1".repeat(40)] {
            for door in [Door::Git, Door::Http] {
                for version in ["protocol.version=0", "protocol.version=2"] {
                    let url = gate.url(door, "app");
                    let said =
                        env.git(["-C", "client", "-c", version, "fetch", "-q", &url, id]).refused();
                    assert!(
                        said.contains("not our ref") || said.contains("unadvertised"),
                        "{said}"
                    );
                }
            }
        }
    });
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    with_gate("", |env, _, gate| {
        let mut bomb = env.command("sh");
        let script =
            "yes '0032have 1111111111111111111111111111111111111111' | head -c 300000000 | gzip -c";
        bomb.args(["-c", script]);
        let body = bomb.output().expect("make a bomb").stdout;
        let head = format!(
            "POST /app.git/git-upload-pack HTTP/1.1\r\nHost: gate\r\nGit-Protocol: version=2\r\n\
             Content-Type: application/x-git-upload-pack-request\r\nContent-Encoding: gzip\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = pkt::exchange(gate.addr(Door::Http), &[head.as_bytes(), &body].concat());
        assert!(!answer.is_empty(), "it is told why");
        assert!(gate.peak_memory() < 150 << 20, "{} bytes at the peak", gate.peak_memory());
    });
}
