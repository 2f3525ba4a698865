//! The real binary between a client and a TLS server that we are.

mod upstream;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use upstream::{CredProxy, Upstream};

const TOKEN: &str = "tok-3f9a77";

/// Sends raw bytes on a connection of its own and reads to the end.
fn ask(proxy: &CredProxy, request: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address).expect("connect to cred-proxy");
    stream.write_all(request.as_bytes()).expect("send the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read the answer");
    answer
}

fn get(proxy: &CredProxy, path: &str) -> String {
    ask(proxy, &format!("GET {path} HTTP/1.1\r\nHost: cred-proxy\r\nConnection: close\r\n\r\n"))
}

#[test]
fn the_credential_arrives_upstream_and_the_agents_own_does_not() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    let answer = ask(
        &proxy,
        "POST /api/v1/echo?beta=true HTTP/1.1\r\nHost: cred-proxy\r\nConnection: close\r\nAuthorization: Bearer agent\r\n\
         x-api-key: placeholder\r\nCookie: a=b\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = upstream.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let head = seen[0].to_ascii_lowercase();
    assert!(head.starts_with("post /base/v1/echo?beta=true http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {TOKEN}\r\n")), "{head}");
    for gone in ["agent", "placeholder", "cookie"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(!answer.contains(TOKEN) && !proxy.log().contains(TOKEN));
}

#[test]
fn events_arrive_as_they_are_sent() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "x-api-key", None);
    let stream = TcpStream::connect(proxy.address).expect("connect to cred-proxy");
    (&stream)
        .write_all(b"GET /api/events HTTP/1.1\r\nHost: cred-proxy\r\nConnection: close\r\n\r\n")
        .expect("send the request");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("read a line"));
    assert!(lines.by_ref().any(|line| line == "data: first"));
    // the server sends its second event only now: had the first been buffered, we would not be here
    upstream.release();
    assert!(lines.by_ref().any(|line| line == "data: second"));
}

#[test]
fn a_gigabyte_passes_in_constant_memory() {
    const BYTES: u64 = 1 << 30;
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    let mut stream = TcpStream::connect(proxy.address).expect("connect to cred-proxy");
    write!(stream, "POST /api/count HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {BYTES}\r\n\r\n")
        .expect("send the head");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..BYTES >> 20 {
        stream.write_all(&piece).expect("send a piece");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read the answer");
    assert!(answer.ends_with(&BYTES.to_string()), "{answer}");
    let peak = proxy.peak_memory_kib();
    assert!(peak < 40 * 1024, "peak memory {peak} KiB");
}

#[test]
fn an_upstream_in_trouble_is_a_502_in_plain_words() {
    let upstream = Upstream::start();
    let stranger = Upstream::start();
    // trusts the first one's roots only
    let proxy = CredProxy::start_between(&stranger, &upstream, TOKEN, "Bearer", None);
    let answer = get(&proxy, "/api/x");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("invalid peer certificate"), "{answer}");

    let nobody = Upstream::nobody();
    let proxy = CredProxy::start(&nobody, TOKEN, "Bearer", None);
    let answer = get(&proxy, "/api/x");
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("Connection refused"),
        "{answer}"
    );
    assert!(!answer.contains(TOKEN));
}

#[test]
fn a_redirect_is_handed_to_the_client_and_not_followed() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    let answer = get(&proxy, "/api/redirect");
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("set-cookie"), "{answer}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn git_and_foreign_paths_are_refused_without_asking_upstream() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    for (path, status) in [
        ("/api/app.git/info/refs?service=git-receive-pack", "403"),
        ("/api/app/git-upload-pack", "403"),
        ("/elsewhere", "404"),
        ("/api/../elsewhere", "400"),
    ] {
        let answer = get(&proxy, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let answer = ask(&proxy, "TRACE /api/x HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn goes_out_through_the_egress_proxy_and_tells_what_it_said() {
    let upstream = Upstream::start();
    let egress = upstream::Egress::start(true);
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", Some(egress.address));
    let answer = get(&proxy, "/api/v1/echo");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(egress.targets(), [format!("localhost:{}", upstream.port())]);

    let closed = upstream::Egress::start(false);
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", Some(closed.address));
    let answer = get(&proxy, "/api/v1/echo");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        answer.contains("the egress proxy says: 403 Forbidden: CONNECT blocked: domain not in allowlist: localhost"),
        "{answer}"
    );
}
