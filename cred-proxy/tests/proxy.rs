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

/// Each is a way to make one request be read as another, by us or by the upstream.
#[test]
fn whatever_is_smuggled_arrives_as_one_plain_request_or_not_at_all() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    let smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    let close = "Host: c\r\nConnection: close";
    let requests = [
        // two framings, in either order and in a spelling of its own
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nTransfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\nbody{smuggled}"
        ),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nbody{smuggled}"
        ),
        format!("POST /api/echo HTTP/1.1\r\n{close}\r\nContent-Length: +4\r\n\r\nbody{smuggled}"),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}, content-length\r\nContent-Length: 4\r\n\r\nbody{smuggled}"
        ),
        format!(
            "GET /api/echo HTTP/1.1\r\n{close}\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ),
        // a line that is folded, or ended by less
        format!("GET /api/echo HTTP/1.1\r\n{close}\r\nX-A: b\r\n GET /admin HTTP/1.1\r\n\r\n"),
        format!("GET /api/echo HTTP/1.1\n{}\n\n", close.replace('\r', "")),
        format!("GET /api/echo HTTP/1.1\r\n{close}\r\nX-A: b\rX-Admin: 1\r\n\r\n"),
        // our own credential, named as a header of this hop
        "GET /api/echo HTTP/1.1\r\nHost: c\r\nConnection: close, authorization, x-api-key, host\r\n\r\n".to_owned(),
        // a trailer that would be a header
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nTE: trailers\r\nTrailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nAuthorization: Bearer mine\r\n\r\n"
        ),
        format!(
            "POST /api/echo HTTP/1.1\r\n{close}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody"
        ),
        "GET /api/echo HTTP/1.1\r\nHost: c\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n".to_owned(),
        // another target than the route's
        format!("GET http://elsewhere.invalid/api/echo HTTP/1.1\r\n{close}\r\n\r\n"),
        "GET /api/echo HTTP/1.1\r\nHost: elsewhere.invalid\r\nHost: c\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    for request in &requests {
        let before = upstream.requests().len();
        let answer = ask(&proxy, request);
        let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        let seen = upstream.requests()[before..].to_vec();
        assert!(seen.len() <= 1, "{request:?} became {seen:?}");
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 4"),
            "{request:?}: {answer}"
        );
        for head in seen.iter().map(|head| head.to_ascii_lowercase()) {
            let path = head.split(' ').nth(1).expect("a path");
            assert_eq!(path, "/base/echo", "{request:?}: {head}");
            assert_eq!(head.matches("authorization:").count(), 1, "{request:?}: {head}");
            assert!(head.contains(&format!("authorization: bearer {TOKEN}\r\n")), "{head}");
            assert!(head.contains(&format!("host: localhost:{}\r\n", upstream.port())), "{head}");
            let framings = head.matches("\r\ncontent-length:").count()
                + head.matches("\r\ntransfer-encoding:").count();
            assert!(framings <= 1, "{request:?}: {head}");
            for gone in ["mine", "upgrade", "x-admin", "elsewhere", "trailer"] {
                assert!(!head.contains(gone), "{gone} of {request:?} in {head}");
            }
        }
        assert!(!answer.contains(TOKEN), "{answer}");
    }
}

#[test]
fn no_target_but_a_path_and_no_head_without_an_end_is_taken() {
    let upstream = Upstream::start();
    let proxy = CredProxy::start(&upstream, TOKEN, "Bearer", None);
    let close = "Host: c\r\nConnection: close\r\n\r\n";
    let long = "x".repeat(600 * 1024);
    for request in [
        format!("CONNECT localhost:{} HTTP/1.1\r\n{close}", upstream.port()),
        format!("OPTIONS * HTTP/1.1\r\n{close}"),
        format!("GET /api/x?private_token=mine HTTP/1.1\r\n{close}"),
        format!("GET /api/x HTTP/1.1\r\nX-Long: {long}\r\n{close}"),
        format!("GET /api/{} HTTP/1.1\r\n{close}", "x".repeat(70 * 1024)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame at all".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(proxy.address).expect("connect to cred-proxy");
        // it may hang up before all is sent
        drop(stream.write_all(request.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{}: {answer}", &request[..20]);
    }
    assert_eq!(upstream.requests(), Vec::<String>::new());
    assert!(get(&proxy, "/api/x").starts_with("HTTP/1.1 200"));
}
