//! One request in, one request out with the credential, both bodies streamed.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tracing::{info, warn};

use crate::config::{Config, Limits};
use crate::connect::{self, Dialer};
use crate::headers;
use crate::route::{self, Refused, Route};

/// A body that is ours (a message) or passed through (a stream).
pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Proxy {
    routes: Vec<Route>,
    limits: Limits,
    client: Client<HttpsConnector<Dialer>, Incoming>,
}

impl Proxy {
    /// Connects the routes with a client that trusts `tls`'s roots and goes out by the configured way.
    pub(crate) fn new(config: Config, tls: rustls::ClientConfig) -> Self {
        let dialer = Dialer { proxy: config.proxy, deadline: config.limits.connect };
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(dialer);
        Self {
            routes: config.routes,
            limits: config.limits,
            client: Client::builder(TokioExecutor::new()).build(https),
        }
    }

    /// Answers one request; trouble becomes an answer too.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() == "/healthz" {
            return message(StatusCode::OK, "ok");
        }
        let method = request.method().clone();
        let (route, target) = match route::resolve(&self.routes, &method, request.uri()) {
            Ok(found) => found,
            Err(refused) => {
                warn!(
                    http.method = %method,
                    http.path = %request.uri().path().escape_default(),
                    reason = %refused,
                    "refused"
                );
                return message(status_of(&refused), &refused.to_string());
            }
        };
        let (route_path, host) = (route.path.as_str(), route.authority.as_str());
        let outgoing = outgoing(route, target, request);
        match tokio::time::timeout(self.limits.response, self.client.request(outgoing)).await {
            Ok(Ok(response)) => {
                info!(route = route_path, http.method = %method, http.status = response.status().as_u16(), "passed");
                incoming(response)
            }
            Ok(Err(error)) => {
                let said = words(&error);
                warn!(route = route_path, http.method = %method, upstream = host, reason = said, "upstream failed");
                message(StatusCode::BAD_GATEWAY, &format!("upstream {host}: {said}"))
            }
            Err(_) => {
                let seconds = self.limits.response.as_secs();
                warn!(route = route_path, http.method = %method, upstream = host, "upstream silent");
                let text =
                    format!("upstream {host}: no response within response_seconds = {seconds}");
                message(StatusCode::GATEWAY_TIMEOUT, &text)
            }
        }
    }
}

/// The request as the upstream gets it: the client's credentials gone, ours in their place.
fn outgoing(route: &Route, target: Uri, request: Request<Incoming>) -> Request<Incoming> {
    let (mut parts, body) = request.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    headers::strip_credentials(&mut parts.headers);
    // hyper writes the target's own host
    parts.headers.remove(header::HOST);
    parts.headers.insert(route.name.clone(), route.value.clone());
    parts.uri = target;
    parts.version = http::Version::HTTP_11;
    // nothing the agent's connection carried may steer ours
    parts.extensions.clear();
    Request::from_parts(parts, body)
}

/// The response as the client gets it. A redirect is the client's to follow: through a route, or not at all.
fn incoming(response: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::SET_COOKIE);
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    Response::from_parts(parts, body.boxed())
}

fn message(status: StatusCode, text: &str) -> Response<Body> {
    let body =
        Full::new(Bytes::from(format!("cred-proxy: {text}\n"))).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const fn status_of(refused: &Refused) -> StatusCode {
    match refused {
        Refused::NoRoute(_) => StatusCode::NOT_FOUND,
        Refused::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Refused::Path { .. } | Refused::Git | Refused::Credential(_) => StatusCode::FORBIDDEN,
        Refused::Escapes => StatusCode::BAD_REQUEST,
    }
}

/// The innermost causes in their own words; hyper's outer layers only say that something failed.
fn words(error: &(dyn StdError + 'static)) -> String {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<connect::Error>() {
            chain.clear();
            chain.push(ours.to_string());
        } else {
            chain.push(error.to_string());
        }
        next = error.source();
    }
    chain.dedup();
    chain.join(": ")
}
