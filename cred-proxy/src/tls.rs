//! Whom cred-proxy trusts: the system's roots and, if named, one more file of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// A client config with the system's roots and those of `ca_file`.
pub(crate) fn client(ca_file: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    // a system without roots is fine as long as ca_file brings some, or no route is https
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let pem = fs::read(path).with_context(|| format!("read ca_file {}", path.display()))?;
        let certificates = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("parse ca_file {}", path.display()))?;
        ensure!(!certificates.is_empty(), "ca_file {} holds no certificate", path.display());
        for certificate in certificates {
            roots.add(certificate).with_context(|| format!("trust ca_file {}", path.display()))?;
        }
    }
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
