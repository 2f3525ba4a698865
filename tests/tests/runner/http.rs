//! What the HTTP door owes to HTTP.

use std::io::{Read, Write};

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::origin::Origin;
use crate::pkt;
use crate::servers::{Kind, Server};

fn ask(gate: &Gate<'_>, head: &str, body: &[u8]) -> String {
    let request = [head.replace('\n', "\r\n").as_bytes(), body].concat();
    String::from_utf8_lossy(&pkt::exchange(gate.addr(Door::Http), &request)).into_owned()
}

fn with_gate(test: impl FnOnce(&TestEnv, &Origin<'_>, &Gate<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    test(&env, &origin, &Gate::before(&env, &server));
}

#[test]
fn says_what_it_does_not_do() {
    with_gate(|_, _, gate| {
        for (request, status) in [
            ("GET /healthz", "200"),
            ("GET /app.git/info/refs", "403"),
            ("GET /app.git/HEAD", "403"),
            ("GET /app.git/objects/info/packs", "403"),
            ("GET /", "404"),
            ("GET /app.git/info/refs?service=git-upload-archive", "403"),
            ("PUT /app.git/git-upload-pack", "405"),
            ("GET /app.git/git-upload-pack", "405"),
        ] {
            let answer =
                ask(gate, &format!("{request} HTTP/1.1\nHost: gate\nConnection: close\n\n"), b"");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        }
        for (request, allowed) in [
            ("DELETE /app.git/info/refs?service=git-upload-pack", "GET, HEAD"),
            ("GET /app.git/git-receive-pack", "POST"),
        ] {
            let answer =
                ask(gate, &format!("{request} HTTP/1.1\nHost: gate\nConnection: close\n\n"), b"");
            assert!(
                answer.to_lowercase().contains(&format!("allow: {}\r\n", allowed.to_lowercase())),
                "{answer}"
            );
        }
        let lfs = "POST /app.git/info/lfs/objects/batch HTTP/1.1\nHost: gate\nContent-Length: 2\nConnection: close\n\n";
        let answer = ask(gate, lfs, b"{}");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("content-type: application/vnd.git-lfs+json\r\n"), "{answer}");
        assert!(answer.contains("{\"message\":\"git-gate carries no LFS objects"), "{answer}");
        let answer = ask(
            gate,
            "POST /app.git/git-upload-pack HTTP/1.1\nHost: gate\nContent-Type: text/plain\nContent-Length: 4\nConnection: close\n\n",
            b"0000",
        );
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    });
}

#[test]
fn advertises_with_gits_headers_with_and_without_the_suffix() {
    with_gate(|_, origin, gate| {
        for path in ["app.git", "app"] {
            let answer = ask(
                gate,
                &format!(
                    "GET /{path}/info/refs?service=git-upload-pack HTTP/1.1\nHost: gate\nConnection: close\n\n"
                ),
                b"",
            );
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let head = head.to_lowercase();
            assert!(
                head.contains("content-type: application/x-git-upload-pack-advertisement"),
                "{head}"
            );
            assert!(head.contains("cache-control: no-cache"), "{head}");
            assert!(
                body.contains("# service=git-upload-pack\n") && body.contains(&origin.tip("main")),
                "{body}"
            );
        }
    });
}

#[test]
fn two_pipelined_requests_get_two_answers_in_order() {
    with_gate(|_, _, gate| {
        let answer = ask(
            gate,
            "GET /healthz HTTP/1.1\nHost: gate\n\nGET /app.git/HEAD HTTP/1.1\nHost: gate\nConnection: close\n\n",
            b"",
        );
        let first = answer.find("HTTP/1.1 200").expect("the first answer");
        let second = answer.find("HTTP/1.1 403").expect("the second answer");
        assert!(first < second, "{answer}");
    });
}

#[test]
fn answers_before_the_next_request_is_whole() {
    with_gate(|_, _, gate| {
        let mut stream = pkt::connect(gate.addr(Door::Http));
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\nGET /healthz HTTP/1.1\r\nHo")
            .expect("ask once and a half");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("the first answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        stream.write_all(b"st: gate\r\nConnection: close\r\n\r\n").expect("the other half");
        let rest = String::from_utf8_lossy(&pkt::drain(&mut stream)).into_owned();
        assert!(rest.contains("HTTP/1.1 200 OK"), "{rest}");
    });
}

#[test]
fn says_what_is_wrong_with_a_request_that_is_none() {
    with_gate(|_, _, gate| {
        let many: String = (0..150).map(|n| format!("X{n}: y\n")).collect();
        let long = format!("GET /{} HTTP/1.1\nHost: gate\n\n", "a".repeat(70_000));
        for (request, status) in [
            ("GE T / HTTP/1.1\nHost: gate\n\n", "400"),
            ("GET /a\0b/info/refs?service=git-upload-pack HTTP/1.1\nHost: gate\n\n", "400"),
            ("GET / HTTP/3.0\nHost: gate\n\n", "400"),
            (&format!("GET / HTTP/1.1\nHost: gate\n{many}\n"), "431"),
            (&long, "414"),
        ] {
            let answer = ask(gate, request, b"");
            let shown = &request[..request.len().min(40)];
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {answer}");
        }
    });
}

/// A request of v2 for one ref.
fn listing_of_main() -> Vec<u8> {
    [&pkt::line("command=ls-refs")[..], b"0001", &pkt::line("ref-prefix refs/heads/main"), b"0000"]
        .concat()
}

#[test]
fn takes_bodies_that_are_chunked_announced_or_compressed() {
    with_gate(|env, origin, gate| {
        let listing = listing_of_main();
        let fixed = "POST /app.git/git-upload-pack HTTP/1.1\nHost: gate\nGit-Protocol: version=2\nConnection: close\n\
                     Content-Type: application/x-git-upload-pack-request\n";
        let expected = format!("{} refs/heads/main", origin.tip("main"));
        let chunked: Vec<u8> =
            listing.iter().flat_map(|byte| [b"1\r\n", &[*byte][..], b"\r\n"].concat()).collect();
        let file = env.write("body", &listing);
        let gzipped = env.command("gzip").arg("-c").arg(file).output().expect("run gzip").stdout;
        for (what, more, body) in [
            (
                "chunked",
                "Transfer-Encoding: chunked\n\n".to_owned(),
                [&chunked[..], b"0\r\n\r\n"].concat(),
            ),
            (
                "expected",
                format!("Content-Length: {}\nExpect: 100-continue\n\n", listing.len()),
                listing,
            ),
            (
                "gzip",
                format!("Content-Length: {}\nContent-Encoding: gzip\n\n", gzipped.len()),
                gzipped.clone(),
            ),
            (
                "x-gzip, in capitals",
                format!("Content-Length: {}\nContent-Encoding: X-GZIP\n\n", gzipped.len()),
                gzipped.clone(),
            ),
        ] {
            let answer = ask(gate, &format!("{fixed}{more}"), &body);
            assert!(answer.contains(&expected), "{what}: {answer}");
        }
        for (what, more, body, said) in [
            (
                "not gzip",
                "Content-Encoding: gzip",
                &b"plain text"[..],
                "ERR the request can't be read",
            ),
            (
                "cut",
                "Content-Encoding: gzip",
                &gzipped[..gzipped.len() - 9],
                "the gzipped body is cut",
            ),
            ("deflate", "Content-Encoding: deflate", &gzipped, "HTTP/1.1 415"),
        ] {
            let head = format!("{fixed}{more}\nContent-Length: {}\n\n", body.len());
            let answer = ask(gate, &head, body);
            assert!(answer.contains(said), "{what}: {answer}");
        }
        let chunk =
            [format!("{:x}\r\n", gzipped.len()).as_bytes(), &gzipped, b"\r\n0\r\n\r\n"].concat();
        let answer = ask(gate, &format!("{fixed}Transfer-Encoding: gzip, chunked\n\n"), &chunk);
        assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    });
}

#[test]
fn asks_for_a_body_whose_sender_waits_to_be_asked() {
    with_gate(|_, origin, gate| {
        let listing = listing_of_main();
        let head = |path: &str| {
            format!(
                "POST {path}/git-upload-pack HTTP/1.1\r\nHost: gate\r\nGit-Protocol: version=2\r\nConnection: close\r\n\
                 Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
                listing.len()
            )
        };
        let mut stream = pkt::connect(gate.addr(Door::Http));
        stream.write_all(head("/app.git").as_bytes()).expect("ask");
        let mut told = [0; 25];
        stream.read_exact(&mut told).expect("the word to go on");
        assert_eq!(told.escape_ascii().to_string(), "HTTP/1.1 100 Continue\\r\\n\\r\\n");
        stream.write_all(&listing).expect("send the body");
        let answer = String::from_utf8_lossy(&pkt::drain(&mut stream)).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&origin.tip("main")),
            "{answer}"
        );
        // what is refused is refused before the body is sent
        let refused = pkt::exchange(gate.addr(Door::Http), head("/a..b").as_bytes());
        assert!(refused.starts_with(b"HTTP/1.1 404"), "{}", refused.escape_ascii());
    });
}

#[test]
fn serves_http_1_0_and_head() {
    with_gate(|_, origin, gate| {
        let target = "/app.git/info/refs?a=b&service=git-upload-pack&c";
        let whole = ask(gate, &format!("GET {target} HTTP/1.0\n\n"), b"");
        assert!(whole.contains(&origin.tip("main")) && whole.ends_with("0000"), "{whole}");
        assert!(!whole.to_lowercase().contains("chunked"), "{whole}");
        let head =
            ask(gate, &format!("HEAD {target} HTTP/1.1\nHost: gate\nConnection: close\n\n"), b"");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("x-git-upload-pack-advertisement"), "{head}");
    });
}

/// Pushes that come as a client may send them: git probes with a lone flush, then sends chunks, compressed or not.
#[test]
fn takes_a_push_in_every_form_of_body() {
    with_gate(|env, origin, gate| {
        env.git(["clone", "-q", &gate.url(Door::Http, "app"), "work"]).out();
        let fixed = "POST /app.git/git-receive-pack HTTP/1.1\nHost: gate\nConnection: close\n\
                     Content-Type: application/x-git-receive-pack-request\n";
        let probe = ask(gate, &format!("{fixed}Content-Length: 4\n\n"), b"0000");
        let (head, body) = probe.split_once("\r\n\r\n").expect("an answer");
        // nothing, which may be one chunk of nothing
        assert!(head.starts_with("HTTP/1.1 200") && ["", "0\r\n\r\n"].contains(&body), "{probe}");
        for form in ["plain", "chunked", "expected", "gzip", "chunked gzip"] {
            let old = origin.tip("main");
            crate::push_verdict::commit(env, "work", "file", &format!("{form}\n"));
            let new = env.git_in("work", ["rev-parse", "HEAD"]).out();
            let revisions = env.write("revisions", format!("{new}\n^{old}\n"));
            let mut pack = env.command("git");
            pack.args(["-C", "work", "pack-objects", "--revs", "--thin", "--stdout", "-q"]);
            pack.stdin(std::fs::File::open(revisions).expect("open the revisions"));
            let pack = pack.output().expect("git pack-objects").stdout;
            let command = pkt::line(format!("{old} {new} refs/heads/main\0 report-status"));
            let mut body = [&command[..], b"0000", &pack].concat();
            let mut more = String::new();
            if form.contains("gzip") {
                let file = env.write("body", &body);
                body = env.command("gzip").arg("-c").arg(file).output().expect("run gzip").stdout;
                more.push_str("Content-Encoding: gzip\n");
            }
            if form.contains("chunked") {
                let chunk = |piece: &[u8]| {
                    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
                };
                body = body.chunks(100).flat_map(chunk).collect();
                body.extend(b"0\r\n\r\n");
                more.push_str("Transfer-Encoding: chunked\n");
            } else {
                more.push_str(&format!("Content-Length: {}\n", body.len()));
            }
            if form == "expected" {
                more.push_str("Expect: 100-continue\n");
            }
            let answer = ask(gate, &format!("{fixed}{more}\n"), &body);
            assert!(answer.contains("ok refs/heads/main"), "{form}: {answer}");
            assert_eq!(origin.tip("main"), new, "{form}");
        }
    });
}

#[test]
fn speaks_http2_without_tls() {
    with_gate(|env, origin, gate| {
        let url = format!("{}/info/refs?service=git-upload-pack", gate.url(Door::Http, "app"));
        let mut curl = env.command("curl");
        let said = crate::env::run(curl.args([
            "-s",
            "--http2-prior-knowledge",
            "-w",
            "%{http_version}",
            &url,
        ]));
        let said = said.out();
        assert!(said.contains(&origin.tip("main")) && said.ends_with('2'), "{said}");
        // who offers to upgrade is answered in what it spoke
        let mut curl = env.command("curl");
        let said = crate::env::run(curl.args(["-s", "--http2", "-w", "%{http_version}", &url]));
        let said = said.out();
        assert!(said.contains(&origin.tip("main")) && said.ends_with("1.1"), "{said}");
    });
}
