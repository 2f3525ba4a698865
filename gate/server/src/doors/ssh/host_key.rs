//! The door's own key: made on first use, kept in the data folder.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};

/// The key that clients of the ssh door know it by.
#[derive(Clone)]
pub struct HostKey(PrivateKey);

/// The host key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    #[error("host key file")]
    File(#[from] io::Error),
    #[error("host key is not an OpenSSH private key")]
    Key(#[from] russh::keys::ssh_key::Error),
}

impl HostKey {
    /// Reads the key that lies in `data`, or makes one there.
    ///
    /// # Errors
    /// What lies there is no key, or the folder can't be written.
    pub fn load_or_make(data: &Path) -> Result<Self, HostKeyError> {
        let file = data.join(".ssh_host_ed25519_key");
        match fs::read(&file) {
            Ok(text) => Ok(Self(PrivateKey::from_openssh(text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&file),
            Err(error) => Err(error.into()),
        }
    }

    /// The fingerprint, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    fn make(file: &Path) -> Result<Self, HostKeyError> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        let pair = Ed25519Keypair::from_seed(&seed);
        let key = PrivateKey::new(KeypairData::Ed25519(pair), "git-gate")?;
        let temporary = file.with_extension("new");
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        out.write_all(key.to_openssh(LineEnding::LF)?.as_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, file)?;
        Ok(Self(key))
    }

    pub(super) fn into_inner(self) -> PrivateKey {
        self.0
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.fingerprint())
    }
}
