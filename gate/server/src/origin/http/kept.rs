//! Kept connections, which may be dead without a sign: what is asked over one is asked again over a new one in time.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use gate_core::dial::{Error, ErrorKind};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::debug;

use super::Body;
use super::answer::failed;
use super::connect::Bounded;

/// How long an idle connection is kept; most servers close it sooner.
pub(super) const IDLE: Duration = Duration::from_secs(120);

type Connector = Bounded<HttpsConnector<HttpConnector>>;
type Http = Client<Connector, Body>;

/// The connections to servers that one set of roots vouches for. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    connector: Connector,
    limit: Duration,
    client: Arc<Mutex<Generation>>,
}

/// The client in use, and how many were given up before it.
#[derive(Clone, Debug)]
struct Generation {
    number: u64,
    client: Http,
}

impl Kept {
    /// `limit` (limits.connect) is for a connection to be made, and for an answer before it is doubted.
    pub(super) fn new(connector: HttpsConnector<HttpConnector>, limit: Duration) -> Self {
        let connector = Bounded::new(connector, limit);
        let client = Generation { number: 0, client: fresh(&connector) };
        Self { connector, limit, client: Arc::new(Mutex::new(client)) }
    }

    /// Sends a request that must not come twice.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let Generation { client, .. } = self.current();
        client.request(request).await.map_err(failed)
    }

    /// Sends a request that does no harm if it comes twice: `again` follows over a connection that is surely new if the
    /// first is silent for `limits.connect`, or hangs up. Whichever is answered first counts, so that an origin that
    /// is merely slow loses nothing; if it is the second, no kept connection is used any more.
    ///
    /// # Errors
    /// That of the request which failed last.
    pub(super) async fn ask(
        &self,
        request: impl Future<Output = Result<Request<Body>, Error>> + Send,
        again: impl Future<Output = Result<Request<Body>, Error>> + Send,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = request.await?;
        let Generation { number, client } = self.current();
        let mut connection = capture_connection(&mut request);
        let mut first = pin!(async { client.request(request).await.map_err(failed) });
        let silence = async {
            drop(connection.wait_for_connection_metadata().await);
            tokio::time::sleep(self.limit).await;
        };
        let hung_up = match select(first.as_mut(), pin!(silence)).await {
            Either::Left((Err(error), _)) if error.kind() == ErrorKind::Lost => true,
            Either::Left((outcome, _)) => return outcome,
            Either::Right(((), _)) => false,
        };
        debug!(hung_up, "asking the origin over a new connection");
        let fresh = fresh(&self.connector);
        let second = async { fresh.request(again.await?).await.map_err(failed) };
        let second = pin!(second);
        let response = if hung_up {
            second.await?
        } else {
            match select(first, second).await {
                Either::Left((Ok(response), _)) => return Ok(response),
                Either::Left((Err(_), second)) => second.await?,
                Either::Right((Ok(response), _)) => response,
                Either::Right((Err(_), first)) => return first.await,
            }
        };
        self.replace(number, fresh.clone());
        Ok(response)
    }

    fn current(&self) -> Generation {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up the connections of this generation, if nobody has done so before.
    fn replace(&self, number: u64, client: Http) {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            *current = Generation { number: number + 1, client };
        }
    }
}

/// A client that has no connection yet.
fn fresh(connector: &Connector) -> Http {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector.clone())
}
