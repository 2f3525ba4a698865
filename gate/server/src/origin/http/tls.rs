//! Whom to trust: the system's roots, or those of one CA file.

use std::path::Path;
use std::sync::Arc;

use gate_core::dial::{Error, ErrorKind};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::super::git::plain;

/// Longest CA file: larger than any system's bundle.
const MAX_FILE: u64 = 4 << 20;

/// The TLS configuration for servers certified by the `roots` of a CA file, or by the system's roots.
pub(super) fn config(roots: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let store = match roots {
        Some(pem) => parse(pem)?,
        None => system(),
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Gate, "").with_source(error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// The system's roots. None at all is no error here: plain http needs none, and https then says "UnknownIssuer".
fn system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// A CA file as it is now: one that is exchanged counts from the next connection on.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        if std::fs::metadata(file)?.len() > MAX_FILE {
            return Err(std::io::Error::other("larger than 4 MiB"));
        }
        std::fs::read(file)
    };
    read().map_err(|error: std::io::Error| {
        let words = format!("the CA file can't be read: {}", plain(&error));
        Error::new(ErrorKind::Credential, words).with_source(error)
    })
}

fn parse(pem: &[u8]) -> Result<RootCertStore, Error> {
    let unusable = |words: &str| Error::new(ErrorKind::Credential, words);
    let mut store = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut &pem[..]) {
        let broken = "the CA file holds a broken certificate";
        let certificate = certificate.map_err(|error| unusable(broken).with_source(error))?;
        store.add(certificate).map_err(|error| unusable(broken).with_source(error))?;
    }
    if store.is_empty() {
        return Err(unusable("the CA file holds no certificate"));
    }
    Ok(store)
}
