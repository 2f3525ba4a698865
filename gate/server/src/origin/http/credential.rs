//! The token for an http origin, read anew for every request: a rotated one is used at once. Nobody else is told of it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate_core::dial::{Error, ErrorKind};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::git::plain;

/// Longest token file.
const MAX_TOKEN: usize = 16 << 10;

/// The value of `Authorization`, and all in it that is secret.
pub(super) struct Credential {
    pub(super) header: HeaderValue,
    secrets: Vec<SecretString>,
}

/// What an origin was told, and may repeat in its own words.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<SecretString>>);

impl Told {
    pub(super) fn add(&self, credential: &Credential) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in &credential.secrets {
            if !told.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
                told.push(secret.clone());
            }
        }
        // one that holds another is looked for before it
        told.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
    }

    /// The error without anything of it.
    pub(super) fn hide(&self, error: Error) -> Error {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().fold(error, |error, secret| error.hiding(secret.expose_secret()))
    }
}

/// Basic for a file of `user:token`, or when the URL names a user; else bearer.
pub(super) async fn read(file: &Path, user: Option<&str>) -> Result<Credential, Error> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| {
        let words = format!("the token file can't be read: {}", plain(&error));
        Error::new(ErrorKind::Credential, words).with_source(error)
    })?;
    parse(&SecretString::from(text), user)
}

fn parse(text: &SecretString, user: Option<&str>) -> Result<Credential, Error> {
    let token = text.expose_secret().trim();
    let unusable = |words| Error::new(ErrorKind::Credential, words);
    if token.is_empty() || token.len() > MAX_TOKEN || token.chars().any(char::is_control) {
        return Err(unusable("the token file must hold one line: a token, or user:token"));
    }
    let basic = |pair: &str| ("Basic", STANDARD.encode(pair));
    let (scheme, value) = match (token.split_once(':'), user) {
        (Some(_), _) => basic(token),
        (None, Some(user)) => basic(&format!("{user}:{token}")),
        (None, None) => ("Bearer", token.to_owned()),
    };
    let line = SecretString::from(format!("{scheme} {value}"));
    let mut header = HeaderValue::try_from(line.expose_secret())
        .map_err(|_| unusable("the token file holds characters that no header may"))?;
    header.set_sensitive(true);
    let password = token.split_once(':').map(|(_, password)| password.to_owned());
    let secrets = [Some(value), Some(token.to_owned()), password];
    Ok(Credential { header, secrets: secrets.into_iter().flatten().map(Into::into).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, user: Option<&str>) -> Option<String> {
        let value = parse(&SecretString::from(text.to_owned()), user).ok()?.header;
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
        let error = parse(&SecretString::from("hunter2\nx".to_owned()), None).err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn what_was_told_is_hidden_after_it_was_rotated_too() {
        let told = Told::default();
        for text in ["me:first", "second"] {
            told.add(&parse(&SecretString::from(text.to_owned()), Some("me")).ok().unwrap());
        }
        let words = "bWU6Zmlyc3Q= me:first first bWU6c2Vjb25k me:second";
        let error = told.hide(Error::new(ErrorKind::Denied, words));
        let hidden = "<credential>";
        assert_eq!(error.words(), [hidden, hidden, hidden, hidden, "me:<credential>"].join(" "));
    }
}
