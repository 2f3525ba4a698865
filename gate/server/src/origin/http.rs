//! http and https origins: smart HTTP over kept connections (gitprotocol-http).

mod answer;
mod connect;
mod credential;
mod kept;
mod tls;
mod url;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use gate_config::{Endpoint, ResolvedRepo};
use gate_core::dial::{Answer, Error, ErrorKind, Payload, Rpc};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use proto::{Service, Version};

use self::credential::Told;
use self::kept::Kept;
use self::url::Base;

/// Redirects that are followed before it is called a loop.
const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("git/2.47 git-gate/", env!("CARGO_PKG_VERSION"));

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The kept connections: one pool for the system's roots, one for each CA file as it was read last.
#[derive(Debug)]
pub(super) struct Clients {
    connect: Duration,
    by_roots: Mutex<HashMap<Option<PathBuf>, Trusting>>,
}

/// A CA file's bytes, and the connections to servers that it vouches for.
type Trusting = (Vec<u8>, Kept);

impl Clients {
    /// `connect` is the limit for a connection, TLS included.
    pub(super) fn new(connect: Duration) -> Self {
        Self { connect, by_roots: Mutex::default() }
    }

    /// The way to one repository's service. Nothing is sent yet.
    pub(super) fn rpc(
        &self,
        to: &ResolvedRepo,
        service: Service,
        version: Version,
    ) -> Result<Box<dyn Rpc>, Error> {
        let Endpoint::Http { tls, user, host, port, path } = to.origin.endpoint() else {
            return Err(Error::new(ErrorKind::Gate, "").with_source("not an http origin"));
        };
        Ok(Box::new(Repository {
            kept: self.kept(*tls, to.ca_file.as_deref())?,
            base: Base::new(*tls, host, *port, path)?,
            user: user.clone(),
            token: to.token.clone(),
            told: Told::default(),
            service,
            version,
            was_redirected: false,
        }))
    }

    fn kept(&self, tls: bool, ca_file: Option<&Path>) -> Result<Kept, Error> {
        let file = if tls { ca_file } else { None };
        let pem = file.map(tls::read).transpose()?.unwrap_or_default();
        let mut by_roots = self.by_roots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = file.map(Path::to_owned);
        if let Some((_, kept)) = by_roots.get(&key).filter(|(known, _)| *known == pem) {
            return Ok(kept.clone());
        }
        let roots = file.map(|_| pem.as_slice());
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(kept::IDLE));
        let connector = HttpsConnector::from((connector, Arc::new(tls::config(roots)?)));
        let kept = Kept::new(connector, self.connect);
        by_roots.insert(key, (pem, kept.clone()));
        Ok(kept)
    }
}

/// One service of one repository. It learns where the repository has moved to on its host.
struct Repository {
    kept: Kept,
    base: Base,
    user: Option<String>,
    token: Option<PathBuf>,
    told: Told,
    service: Service,
    version: Version,
    was_redirected: bool,
}

impl Rpc for Repository {
    fn advertisement(&mut self) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async {
            let answer = self.discover().await;
            answer.map_err(|error| self.told.hide(error))
        })
    }

    fn was_redirected(&self) -> bool {
        self.was_redirected
    }

    fn call(&mut self, payload: Payload) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async {
            let answer = self.post(payload).await;
            answer.map_err(|error| self.told.hide(error))
        })
    }
}

impl Repository {
    async fn discover(&mut self) -> Result<Answer, Error> {
        for _ in 0..=MAX_REDIRECTS {
            let query = format!("/info/refs?service={}", self.service);
            let response = self.kept.ask(self.get(&query), self.get(&query)).await?;
            if response.status().is_redirection() {
                self.base = self.base.redirected(response.headers(), &query)?;
                self.was_redirected = true;
                continue;
            }
            let expected = format!("application/x-{}-advertisement", self.service);
            return answer::checked(response, &expected).await;
        }
        Err(Error::new(ErrorKind::Garbage, "it redirects without end"))
    }

    async fn post(&self, payload: Payload) -> Result<Answer, Error> {
        let expected = format!("application/x-{}-result", self.service);
        let response = match payload {
            Payload::Streamed(pieces) => {
                let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data)));
                self.kept.send(self.post_request(body.boxed_unsync()).await?).await?
            }
            Payload::Whole(bytes) if self.service == Service::UploadPack => {
                let request = || self.post_request(full(&bytes));
                self.kept.ask(request(), request()).await?
            }
            Payload::Whole(bytes) => self.kept.send(self.post_request(full(&bytes)).await?).await?,
        };
        if response.status().is_redirection() {
            return Err(Error::new(ErrorKind::Garbage, "it redirects a request that was no GET"));
        }
        answer::checked(response, &expected).await
    }

    async fn get(&self, query: &str) -> Result<Request<Body>, Error> {
        let request = self.request(Method::GET, query).await?;
        request.body(full(&Bytes::new())).map_err(unfit)
    }

    async fn post_request(&self, body: Body) -> Result<Request<Body>, Error> {
        let request = self.request(Method::POST, &format!("/{}", self.service)).await?;
        request
            .header(header::CONTENT_TYPE, format!("application/x-{}-request", self.service))
            .header(header::ACCEPT, format!("application/x-{}-result", self.service))
            .body(body)
            .map_err(unfit)
    }

    async fn request(&self, method: Method, path: &str) -> Result<http::request::Builder, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.base.join(path)?)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if self.version > Version::V0 {
            request = request.header("Git-Protocol", format!("version={}", self.version as u8));
        }
        if let Some(token) = &self.token {
            let credential = credential::read(token, self.user.as_deref()).await?;
            self.told.add(&credential);
            request = request.header(header::AUTHORIZATION, credential.header);
        }
        Ok(request)
    }
}

fn unfit(error: http::Error) -> Error {
    Error::new(ErrorKind::Gate, "").with_source(error)
}

fn full(bytes: &Bytes) -> Body {
    Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()
}

/// Whether a status needs another credential rather than another time.
fn is_denial(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    )
}
