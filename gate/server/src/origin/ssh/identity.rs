//! The gate's private key for an origin, read when a connection is made and not kept.

use std::path::Path;

use gate_core::dial::{Error, ErrorKind};
use russh::keys::{self, PrivateKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::git::plain;

/// Reads an ed25519, ecdsa or rsa key in any format OpenSSH writes.
pub(super) async fn read(file: Option<&Path>) -> Result<PrivateKey, Error> {
    let Some(file) = file else {
        return Err(unusable("no identity is configured for this ssh origin"));
    };
    let text = tokio::fs::read_to_string(file).await.map_err(|error| {
        unusable(format!("the identity file can't be read: {}", plain(&error))).with_source(error)
    })?;
    decode(&SecretString::from(text))
}

fn decode(text: &SecretString) -> Result<PrivateKey, Error> {
    let encrypted =
        || unusable("the identity file is encrypted: the gate asks nobody for a passphrase");
    if text.expose_secret().contains("ENCRYPTED") {
        return Err(encrypted());
    }
    match keys::decode_secret_key(text.expose_secret(), None) {
        Ok(key) if key.is_encrypted() => Err(encrypted()),
        Ok(key) => Ok(key),
        Err(keys::Error::KeyIsEncrypted) => Err(encrypted()),
        Err(error) => {
            Err(unusable("the identity file holds no private key that can be used")
                .with_source(error))
        }
    }
}

fn unusable(words: impl AsRef<[u8]>) -> Error {
    Error::new(ErrorKind::Credential, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A key made by ssh-keygen itself.
    fn keygen(arguments: &[&str]) -> SecretString {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let mut keygen = Command::new("ssh-keygen");
        let made = keygen.args(arguments).arg("-q").arg("-f").arg(&file).status();
        assert!(made.unwrap().success());
        std::fs::read_to_string(file).unwrap().into()
    }

    #[test]
    fn reads_every_kind_of_key_in_both_formats() {
        for arguments in [
            &["-t", "ed25519", "-N", ""][..],
            &["-t", "ecdsa", "-N", ""],
            &["-t", "rsa", "-b", "2048", "-N", ""],
            &["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"],
            &["-t", "ecdsa", "-N", "", "-m", "PKCS8"],
        ] {
            assert!(decode(&keygen(arguments)).is_ok(), "{arguments:?}");
        }
    }

    #[test]
    fn an_encrypted_key_is_refused_by_name() {
        for format in ["RFC4716", "PEM", "PKCS8"] {
            let key = keygen(&["-t", "rsa", "-b", "2048", "-N", "secret", "-m", format]);
            let error = decode(&key).unwrap_err().to_string();
            assert!(error.contains("is encrypted"), "{format}: {error}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        let error = decode(&SecretString::from("hunter2")).unwrap_err();
        assert!(!gate_core::Error::from(error).chain().contains("hunter2"));
    }
}
