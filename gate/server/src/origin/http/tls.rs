//! Whom to trust: the system's roots, or those of one CA file.

use std::path::Path;
use std::sync::Arc;

use gate_core::dial::{Error, ErrorKind};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// The TLS configuration for servers certified by `roots`, or by the system's roots.
pub(super) fn config(roots: Option<&Path>) -> Result<ClientConfig, Error> {
    let store = match roots {
        Some(file) => from_file(file)?,
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

fn from_file(file: &Path) -> Result<RootCertStore, Error> {
    let unusable = |words: &str| Error::new(ErrorKind::Credential, words);
    let pem = std::fs::read(file)
        .map_err(|error| unusable("the CA file can't be read").with_source(error))?;
    let mut store = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut pem.as_slice()) {
        let broken = "the CA file holds a broken certificate";
        let certificate = certificate.map_err(|error| unusable(broken).with_source(error))?;
        store.add(certificate).map_err(|error| unusable(broken).with_source(error))?;
    }
    if store.is_empty() {
        return Err(unusable("the CA file holds no certificate"));
    }
    Ok(store)
}
