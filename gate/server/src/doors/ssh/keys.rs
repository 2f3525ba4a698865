//! Who may come in by the ssh door: everybody, or who holds one of the keys in a file as sshd's `authorized_keys`.

use std::io;
use std::path::Path;

use russh::keys::ssh_key::authorized_keys::Entry;
use russh::keys::{HashAlg, PublicKey};
use tracing::warn;

/// Longest file of keys that is read.
const MAX_FILE: u64 = 4 << 20;

/// Options of sshd that take away what this door gives nobody: a line with these alone counts as one without.
const GRANTED_TO_NOBODY: &[&str] = &[
    "restrict",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-user-rc",
    "no-x11-forwarding",
];

/// The keys of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Keys(Vec<PublicKey>);

/// A file of keys that opens to nobody.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("read the file of keys")]
    Read(#[from] io::Error),
    #[error("the file is larger than {MAX_FILE} bytes")]
    Large,
    #[error("the file holds no key that may come in")]
    None,
}

impl Keys {
    /// Reads the file as it is now. A line that says more than is understood here lets nobody in, and is told in the log.
    ///
    /// # Errors
    /// The file can't be read, or holds no key.
    pub fn read(file: &Path) -> Result<Self, KeysError> {
        if std::fs::metadata(file)?.len() > MAX_FILE {
            return Err(KeysError::Large);
        }
        let keys = Self::parse(&std::fs::read_to_string(file)?);
        if keys.0.is_empty() { Err(KeysError::None) } else { Ok(keys) }
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        Self(lines.filter_map(|(at, line)| key(at + 1, line)).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether who holds this key may come in.
    pub(super) fn admit(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|known| known.key_data() == key.key_data())
    }
}

fn key(number: usize, line: &str) -> Option<PublicKey> {
    let Ok(entry) = line.parse::<Entry>() else {
        warn!(line = number, "listen.ssh_keys: no key in this line");
        return None;
    };
    let mut options = entry.config_opts().iter();
    let harmless = |option: &str| GRANTED_TO_NOBODY.contains(&&*option.to_ascii_lowercase());
    if let Some(option) = options.find(|option| !harmless(option)) {
        let name = option.split('=').next().unwrap_or_default();
        warn!(line = number, option = name, "listen.ssh_keys: an option that is not honoured here");
        return None;
    }
    Some(entry.into())
}

/// The fingerprint, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const B: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4A4gYFpZ3Bm0zXz6l5O9Yv4kGQzJ3gQkXv4dJp1p6u";

    fn admits(text: &str) -> bool {
        Keys::parse(text).admit(&PublicKey::from_openssh(A).unwrap())
    }

    #[test]
    fn comments_and_harmless_options_change_nothing() {
        for text in [
            A.to_owned(),
            format!("# mine\n\n{A} me@here\n"),
            format!("{B}\nrestrict,no-pty {A} agent 7"),
        ] {
            assert!(admits(&text), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_lets_nobody_in() {
        for text in [
            String::new(),
            B.to_owned(),
            format!("# {A}"),
            format!("from=\"10.0.0.0/8\" {A}"),
            format!("command=\"id\",restrict {A}"),
            format!("cert-authority {A}"),
            A[..40].to_owned(),
        ] {
            assert!(!admits(&text), "{text}");
        }
    }
}
