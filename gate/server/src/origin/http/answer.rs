//! What an HTTP answer is: the body of the service, or a failure in words.

use std::error::Error as _;
use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use gate_core::dial::{Answer, Error, ErrorKind};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use rustls::CertificateError;
use tokio_util::io::StreamReader;

use super::super::git::plain;
use super::connect::TooSlow;
use super::is_denial;

/// Most bytes of a refusal's text that are read.
const MAX_WORDS: usize = 4096;

/// The body, if status and content type are those of the service.
pub(super) async fn checked(response: Response<Incoming>, expected: &str) -> Result<Answer, Error> {
    if response.status() != StatusCode::OK {
        return Err(refusal(response).await);
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| !is_type(value.as_bytes(), expected)) {
        let shown = content_type
            .map_or("nothing".into(), |value| value.as_bytes().escape_ascii().to_string());
        let words = format!("its HTTP answer is of type {shown}, not {expected}");
        return Err(Error::new(ErrorKind::Garbage, words));
    }
    let pieces = response.into_body().into_data_stream().map_err(io::Error::other);
    Ok(Box::new(StreamReader::new(pieces)))
}

/// Whether a content type is this one, in any case and whatever parameters follow (git's `extract_content_type`).
fn is_type(value: &[u8], expected: &str) -> bool {
    let name = value.split(|b| *b == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(expected.as_bytes())
}

/// A status that is no success, in the server's own words where it answers in plain text.
async fn refusal(response: Response<Incoming>) -> Error {
    let status = response.status();
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    let said = if is_plain {
        let body = Limited::new(response.into_body(), MAX_WORDS).collect().await;
        body.map(http_body_util::Collected::to_bytes).unwrap_or_default()
    } else {
        Bytes::new()
    };
    let kind = match status {
        _ if is_denial(status) => ErrorKind::Denied,
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::UnknownRepository,
        _ => ErrorKind::Refused,
    };
    let mut words = format!("HTTP {status}").into_bytes();
    if !said.is_empty() {
        words.extend_from_slice(b": ");
        words.extend_from_slice(&said);
    }
    Error::new(kind, words)
}

/// Why no answer came at all.
pub(super) fn failed(error: legacy::Error) -> Error {
    let mut cause = error.source();
    let mut words = None;
    while let Some(source) = cause {
        if let Some(TooSlow(limit)) = source.downcast_ref() {
            return Error::timed_out("connect", *limit).with_source(error);
        }
        if let Some(io) = source.downcast_ref::<io::Error>().map(innermost) {
            let inner = io.get_ref();
            if let Some(rustls::Error::InvalidCertificate(fault)) =
                inner.and_then(|inner| inner.downcast_ref())
            {
                return Error::new(ErrorKind::Certificate, mistrust(fault)).with_source(error);
            }
            words = Some(inner.map_or_else(|| plain(io), ToString::to_string));
        }
        cause = source.source();
    }
    let kind = if error.is_connect() { ErrorKind::Unreachable } else { ErrorKind::Lost };
    let words = words.unwrap_or_else(|| match kind {
        ErrorKind::Unreachable => "no connection".to_owned(),
        _ => "before it answered".to_owned(),
    });
    Error::new(kind, words).with_source(error)
}

/// A TLS failure hides in I/O errors within each other, which `source` passes over.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    error
}

/// What is wrong with a certificate, and what to do where the config can do something.
fn mistrust(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "no CA that the gate trusts has signed it (ca_file names another)".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is another host's: {fault}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_may_have_parameters_and_capitals() {
        let expected = "application/x-git-upload-pack-advertisement";
        for value in [expected, "Application/X-Git-Upload-Pack-Advertisement ; charset=utf-8"] {
            assert!(is_type(value.as_bytes(), expected), "{value}");
        }
        for value in ["text/plain", "", "application/x-git-upload-pack-advertisement2", "; x"] {
            assert!(!is_type(value.as_bytes(), expected), "{value}");
        }
    }
}
