//! One ssh connection: the pinned host key, the gate's identity.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gate_core::dial::{Error, ErrorKind};
use russh::Preferred;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};

use super::known_hosts::{Pins, Verdict, fingerprint};
use super::{Target, identity};
use crate::origin::git::{self, plain};

/// Silence after which the connection is probed; after two probes without an answer it is given up.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVES_LOST: usize = 2;
/// Largest known_hosts file that is read.
const MAX_KNOWN_HOSTS: u64 = 4 << 20;

/// Connects, checks the host key against the pins, and authenticates.
pub(super) async fn connect(target: &Target) -> Result<Handle<Judge>, Error> {
    let pins = read_pins(target).await?;
    let key = identity::read(target.identity.as_deref()).await?;
    let config = client::Config {
        nodelay: true,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_LOST,
        window_size: 8 << 20,
        preferred: Preferred { key: Cow::Owned(pins.algorithms()), ..Preferred::DEFAULT },
        ..client::Config::default()
    };
    let tcp = git::connect(&target.host, target.port).await?;
    let refusal = Arc::default();
    let judge = Judge { pins, refusal: Arc::clone(&refusal) };
    let connected = client::connect_stream(Arc::new(config), tcp, judge).await;
    let mut handle = connected.map_err(|error| refused(&refusal, error))?;
    let hash = match key.algorithm() {
        Algorithm::Rsa { .. } => match handle.best_supported_rsa_hash().await {
            Ok(Some(hash)) => hash,
            // a server that does not say takes what RFC 8332 recommends, or none of our keys
            _ => Some(HashAlg::Sha512),
        },
        _ => None,
    };
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    match handle.authenticate_publickey(&target.user, key).await {
        Ok(AuthResult::Success) => Ok(handle),
        Ok(AuthResult::Failure { .. }) => Err(Error::new(
            ErrorKind::Denied,
            format!("its ssh server does not take the gate's key for user {}", target.user),
        )),
        Err(error) => Err(refused(&refusal, error)),
    }
}

async fn read_pins(target: &Target) -> Result<Pins, Error> {
    let no_pin = |words: &str| Error::new(ErrorKind::NoPin, words);
    let Some(file) = target.known_hosts.as_deref() else {
        return Err(no_pin(
            "no known_hosts is configured for it, and without a pin there is no connection",
        ));
    };
    let text = read_bounded(file).await.map_err(|error| {
        no_pin(&format!("the known_hosts file can't be read: {}", plain(&error))).with_source(error)
    })?;
    let pins = Pins::read(&text, &target.host, target.port);
    if pins.is_empty() {
        let words = format!("known_hosts has no key for {}:{}", target.host, target.port);
        return Err(no_pin(&words));
    }
    Ok(pins)
}

async fn read_bounded(file: &Path) -> std::io::Result<String> {
    if tokio::fs::metadata(file).await?.len() > MAX_KNOWN_HOSTS {
        return Err(std::io::Error::other("larger than 4 MiB"));
    }
    tokio::fs::read_to_string(file).await
}

/// Why it ended: our own refusal of the host key where there is one, else the transport's error.
fn refused(refusal: &Mutex<Option<Error>>, error: russh::Error) -> Error {
    if let Some(refusal) = refusal.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return refusal;
    }
    let words = match &error {
        russh::Error::IO(error) => plain(error),
        russh::Error::NoCommonAlgo { kind, .. } => {
            let kind = format!("{kind:?}").to_ascii_lowercase();
            format!("its ssh server shares no {kind} algorithm with the gate and its pins")
        }
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::SendError => {
            "its ssh server closed the connection".to_owned()
        }
        other => other.to_string(),
    };
    Error::new(ErrorKind::Unreachable, words).with_source(error)
}

/// Judges the host key that a server presents.
#[derive(Debug)]
pub(super) struct Judge {
    pins: Pins,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let words = match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => match self.pins.judge(key) {
                Verdict::Pinned => return Ok(true),
                Verdict::Revoked => {
                    format!("it presented {}, which is revoked", fingerprint(key))
                }
                Verdict::Other => {
                    let pinned = self.pins.fingerprints();
                    format!("it presented {}, pinned is {pinned}", fingerprint(key))
                }
            },
            PublicKeyOrCertificate::Certificate(_) => "it presented a certificate".to_owned(),
        };
        let refusal = Error::new(ErrorKind::HostKey, words);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(false)
    }
}
