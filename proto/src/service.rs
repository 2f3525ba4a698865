//! Which service a client asks for, and in which version of the protocol.

use std::fmt;

/// The two services of the smart protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    /// `git-upload-pack` or `git-receive-pack`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// Reads the name that [`as_str`](Self::as_str) prints.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"git-upload-pack" => Some(Self::UploadPack),
            b"git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of the protocol spoken (gitprotocol-v2, `version=N`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    #[default]
    V0,
    V1,
    V2,
}

impl Version {
    /// Reads `GIT_PROTOCOL` or the `Git-Protocol` header: the highest known `version=N` of a colon-separated list.
    pub fn from_parameters(value: &[u8]) -> Self {
        value.split(|b| *b == b':').fold(Self::V0, |best, entry| {
            best.max(match entry {
                b"version=1" => Self::V1,
                b"version=2" => Self::V2,
                _ => Self::V0,
            })
        })
    }
}
