//! Why a push could not be scanned.

use std::io;
use std::time::Duration;

use super::child::MEMORY;
use super::item::Stop;
use super::rules::GITLEAKS_VERSION;
use super::workplace::WorkplaceError;

/// Why there is no verdict. Each refuses the push.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the scanner is not ready to work")]
    NotReady(#[from] WorkplaceError),
    #[error("the scanner is not gitleaks {GITLEAKS_VERSION}, it calls itself '{found}'")]
    WrongVersion { found: String },
    #[error("the scanner does not start")]
    Start(#[source] io::Error),
    #[error("the scanner died with {how}: {words}")]
    Died { how: String, words: String },
    #[error("the scanner needed more than {} MiB of memory, as for a push that is full of secrets", MEMORY >> 20)]
    OutOfMemory,
    #[error("the scanner had trouble: {words}")]
    Trouble { words: String },
    #[error("the scanner saw {scanned} bytes of the {fed} it was given")]
    Truncated { fed: u64, scanned: u64 },
    #[error("the scanner did not find the secret it was tested with")]
    Blind,
    #[error("the scanner can't be understood: {0}")]
    Garbled(String),
    #[error("the scan took longer than the {} s of limits.scan", limit.as_secs_f32())]
    TimedOut { limit: Duration },
    #[error("no scanner was free within the {} s of limits.scan_queue", limit.as_secs_f32())]
    Busy { limit: Duration },
    #[error("the pushed objects can't be read")]
    Objects(#[source] Stop),
    #[error("wait for the scanner")]
    Wait(#[source] io::Error),
}

impl ScanError {
    /// What the client may read: which kind of trouble, and no path of this machine.
    pub fn public(&self) -> String {
        let what = match self {
            Self::NotReady(_) => "the scanner is missing or can't be used".to_owned(),
            Self::Start(_) => "the scanner can't be started".to_owned(),
            Self::Died { how, .. } => format!("the scanner died with {how}"),
            Self::Trouble { .. } => "the scanner had trouble".to_owned(),
            Self::Garbled(_) => "the scanner's report can't be read".to_owned(),
            Self::Wait(_) => "the scanner can't be waited for".to_owned(),
            Self::Objects(Stop::Limit { what }) => what.clone(),
            Self::Objects(Stop::Spool(_)) => {
                "the gate has no room to unpack a large archive".to_owned()
            }
            Self::WrongVersion { .. }
            | Self::OutOfMemory
            | Self::Truncated { .. }
            | Self::Blind
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::Objects(_) => self.to_string(),
        };
        format!("{what}, so this push could not be scanned; nothing was sent to the origin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_reads_differently_and_names_no_path() {
        let path = "/secret/gitleaks";
        let io = || io::Error::other(path);
        let limit = Duration::from_secs(120);
        let all = [
            ScanError::NotReady(WorkplaceError::Binary { path: path.into(), source: io() }),
            ScanError::WrongVersion { found: "8.18.0".to_owned() },
            ScanError::Start(io()),
            ScanError::Died { how: "signal 9".to_owned(), words: path.to_owned() },
            ScanError::OutOfMemory,
            ScanError::Trouble { words: path.to_owned() },
            ScanError::Truncated { fed: 100, scanned: 7 },
            ScanError::Blind,
            ScanError::Garbled(path.to_owned()),
            ScanError::TimedOut { limit },
            ScanError::Busy { limit },
            ScanError::Objects(Stop::Walk { source: path.into() }),
            ScanError::Objects(Stop::Spool(io())),
            ScanError::Objects(Stop::Limit { what: "too many paths".to_owned() }),
            ScanError::Wait(io()),
        ];
        let lines: Vec<String> = all.iter().map(ScanError::public).collect();
        insta::assert_snapshot!(lines.join("\n"));
        assert!(lines.iter().all(|line| !line.contains(path)));
    }
}
