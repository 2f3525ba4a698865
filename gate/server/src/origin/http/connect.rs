//! A connection to an http origin, with one limit for all that it takes: name look-up, TCP, TLS.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use tower_service::Service;

/// Connects as `inner` does, but no longer than `limits.connect`.
#[derive(Clone, Debug)]
pub(super) struct Bounded<C> {
    inner: C,
    limit: Duration,
}

/// No connection within the limit.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?} (limits.connect)")]
pub(super) struct TooSlow(pub(super) Duration);

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Bounded<C> {
    pub(super) fn new(inner: C, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error: Into<AnyError>, Response: Send, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = AnyError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(to), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(TooSlow(limit).into()),
            }
        })
    }
}
