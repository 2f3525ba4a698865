//! Smart HTTP on hyper: HTTP/1.1 with keep-alive and pipelining, and HTTP/2 without TLS for those who know.

mod answer;
mod body;
mod inflate;

use std::convert::Infallible;
use std::net::SocketAddr;

use gate_config::RepoName;
use gate_core::client::Input;
use gate_core::session::{Door, Mode, Session, SessionId};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use proto::request::{Target, parse_target};
use proto::{Service, Version, pktline};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{Instrument, debug, info};

use super::{Guest, Hall};
use answer::{Answer, plain};

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves the door until the hall closes.
pub async fn serve(hall: Hall, listener: TcpListener) {
    hall.accept(listener, welcome).await;
}

async fn welcome(hall: Hall, guest: Guest) {
    let Guest { mut read, write, peer, place: _place } = guest;
    let limits = hall.gate.config().limits.clone();
    let patience = limits.request.duration();
    let streams = u32::try_from(limits.sessions_per_connection).unwrap_or(u32::MAX);
    let Ok(Some(start)) = timeout(patience, first_words(&mut read)).await else {
        return debug!(peer.addr = %peer, "no request (limits.request)");
    };
    let stream = tokio::io::join(std::io::Cursor::new(start).chain(read), write);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .keep_alive_interval(patience)
        .keep_alive_timeout(patience);
    let closing = hall.closing.clone();
    let service = service_fn(move |request| {
        let hall = hall.clone();
        async move { Ok::<_, Infallible>(answer(&hall, peer, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(peer.addr = %peer, error.chain = %error, "connection ended");
    }
}

/// Reads until it is clear whether the client speaks HTTP/2; hyper waits for that without a limit. Nothing at the end.
async fn first_words(read: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut start = Vec::with_capacity(PREFACE.len());
    while start.len() < PREFACE.len() && PREFACE.starts_with(&start) {
        match read.read_buf(&mut start).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    }
    Some(start)
}

async fn answer(hall: &Hall, peer: SocketAddr, request: Request<Incoming>) -> Response<Answer> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let refused = match (parse_target(uri.path(), uri.query()), &method) {
        _ if let Some(refused) = unreadable(request.headers()) => refused,
        (Target::Advertisement { service, path }, &Method::GET | &Method::HEAD) => {
            match repo(hall, path) {
                Ok(_) if method == Method::HEAD => {
                    return answer::git(&advertisement(service), answer::nothing());
                }
                Ok(repo) => return advertise(hall, peer, service, repo, request),
                Err(line) => not_found(&line),
            }
        }
        (Target::Rpc { service, path }, &Method::POST) => match repo(hall, path) {
            Ok(repo) => return rpc(hall, peer, service, repo, request).await,
            Err(line) => not_found(&line),
        },
        (Target::Advertisement { .. }, _) => answer::only("GET, HEAD"),
        (Target::Rpc { .. }, _) => answer::only("POST"),
        (Target::Dumb, _) => plain(
            StatusCode::FORBIDDEN,
            "the dumb HTTP protocol is not served here: use a git client that speaks the smart one",
        ),
        (Target::UnknownService, _) => plain(StatusCode::FORBIDDEN, "unsupported service"),
        (Target::Other, &Method::GET | &Method::HEAD) if uri.path() == "/healthz" => {
            return plain(StatusCode::OK, "ok");
        }
        (Target::Lfs, _) => answer::no_lfs(),
        (Target::Other, _) => plain(StatusCode::NOT_FOUND, "not found"),
    };
    info!(
        peer.addr = %peer,
        session.door = "http",
        http.method = %method,
        http.target = %uri.path().escape_debug(),
        http.status = refused.status().as_u16(),
        "refused"
    );
    refused
}

/// Refuses a body in a transfer coding that is not read here.
fn unreadable(headers: &HeaderMap) -> Option<Response<Answer>> {
    let coding = headers.get(header::TRANSFER_ENCODING)?;
    (!coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        .then(|| plain(StatusCode::NOT_IMPLEMENTED, "the transfer encoding may be chunked"))
}

fn not_found(line: &str) -> Response<Answer> {
    plain(StatusCode::NOT_FOUND, line)
}

/// The repository of a path, known to the gate.
fn repo(hall: &Hall, path: &str) -> Result<RepoName, String> {
    let path = [b"/", path.as_bytes()].concat();
    let name = RepoName::from_request(&path).map_err(|error| error.to_string())?;
    hall.gate.open(&name).map_err(|error| error.to_string())?;
    Ok(name)
}

fn advertise(
    hall: &Hall,
    peer: SocketAddr,
    service: Service,
    repo: RepoName,
    request: Request<Incoming>,
) -> Response<Answer> {
    let session = session(peer, service, repo, request.headers(), Mode::Advertise);
    let mut head = Vec::new();
    // git's own server leaves this line out of v2 (http-backend.c)
    if session.version != Version::V2 || service == Service::ReceivePack {
        pktline::encode(&mut head, format!("# service={service}\n").as_bytes());
        pktline::flush(&mut head);
    }
    start(hall, session, Box::new(tokio::io::empty()), head, &advertisement(service))
}

fn advertisement(service: Service) -> String {
    format!("application/x-{service}-advertisement")
}

async fn rpc(
    hall: &Hall,
    peer: SocketAddr,
    service: Service,
    repo: RepoName,
    request: Request<Incoming>,
) -> Response<Answer> {
    let headers = request.headers();
    let wanted = format!("application/x-{service}-request");
    if headers.get(header::CONTENT_TYPE).is_none_or(|content| content != wanted.as_str()) {
        let line = format!("the content type of this request is {wanted}");
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &line);
    }
    let session = session(peer, service, repo, headers, Mode::Request);
    let limits = hall.gate.config().limits.clone();
    let coding = headers.get(header::CONTENT_ENCODING);
    let coding = coding.map(|coding| coding.as_bytes().to_ascii_lowercase());
    let gzipped = match coding.as_deref() {
        None | Some(b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => {
            let line = "the content encoding may be gzip or identity";
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, line);
        }
    };
    let body = if headers.contains_key(header::EXPECT) {
        match body::invited(request.into_body(), limits.client_idle.duration()).await {
            Ok(body) => body,
            Err(line) => return plain(StatusCode::REQUEST_TIMEOUT, &line),
        }
    } else {
        body::reader(request.into_body())
    };
    let input: Input = if gzipped {
        Box::new(inflate::Gunzip::new(body, limits.inflate_ratio))
    } else {
        Box::new(body)
    };
    start(hall, session, input, Vec::new(), &format!("application/x-{service}-result"))
}

fn session(
    peer: SocketAddr,
    service: Service,
    repo: RepoName,
    headers: &HeaderMap,
    mode: Mode,
) -> Session {
    let asked = headers.get("git-protocol").map_or(&b""[..], |value| value.as_bytes());
    let version = Version::from_parameters(asked);
    let peer = peer.to_string();
    Session { id: SessionId::next(), door: Door::Http, peer, service, repo, version, mode }
}

/// Starts the session and answers with the head of what it is going to say.
fn start(
    hall: &Hall,
    session: Session,
    input: Input,
    head: Vec<u8>,
    content: &str,
) -> Response<Answer> {
    let (output, body) = answer::streamed(head);
    let gate = hall.gate.clone();
    let evicted = hall.evicting.clone();
    let visit = async move {
        tokio::select! {
            _ = gate.serve(session, input, Box::new(output), None) => {}
            () = evicted.cancelled() => {}
        }
    };
    hall.guests.spawn(visit.in_current_span());
    answer::git(content, body)
}
