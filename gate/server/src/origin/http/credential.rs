//! The token for an http origin, read anew for every request: a rotated one is used at once.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate_core::dial::{Error, ErrorKind};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::git::plain;

/// Longest token file.
const MAX_TOKEN: usize = 16 << 10;

/// The value of `Authorization`: basic for a file of `user:token`, or when the URL names a user; else bearer.
pub(super) async fn read(file: &Path, user: Option<&str>) -> Result<HeaderValue, Error> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| {
        let words = format!("the token file can't be read: {}", plain(&error));
        Error::new(ErrorKind::Credential, words).with_source(error)
    })?;
    header(&SecretString::from(text), user)
}

fn header(text: &SecretString, user: Option<&str>) -> Result<HeaderValue, Error> {
    let token = text.expose_secret().trim();
    let unusable = |words| Error::new(ErrorKind::Credential, words);
    if token.is_empty() || token.len() > MAX_TOKEN || token.chars().any(char::is_control) {
        return Err(unusable("the token file must hold one line: a token, or user:token"));
    }
    let value = match user {
        _ if token.contains(':') => format!("Basic {}", STANDARD.encode(token)),
        Some(user) => format!("Basic {}", STANDARD.encode(format!("{user}:{token}"))),
        None => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::try_from(SecretString::from(value).expose_secret())
        .map_err(|_| unusable("the token file holds characters that no header may"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, user: Option<&str>) -> Option<String> {
        let value = header(&SecretString::from(text.to_owned()), user).ok()?;
        assert!(value.is_sensitive());
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_bare_token_is_a_bearer_and_a_pair_is_basic() {
        assert_eq!(check("abc\n", None).unwrap(), "Bearer abc");
        assert_eq!(check("me:abc\n", None).unwrap(), "Basic bWU6YWJj");
        assert_eq!(check("abc", Some("me")).unwrap(), "Basic bWU6YWJj");
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        for text in ["", "\n", "a\nb", "a\u{1}b"] {
            assert_eq!(check(text, None), None, "{text:?}");
        }
        let error = header(&SecretString::from("hunter2\nx".to_owned()), None).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
