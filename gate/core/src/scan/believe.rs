//! Whether what a scanner says can be believed.

use std::process::ExitStatus;

use super::child::{self, FOUND};
use super::error::ScanError;
use super::feed::Fed;
use super::item::Stop;
use super::report::{Report, ReportError};

/// Compares what was fed with what came back, and believes it only if all of it fits.
pub(super) fn believe(
    fed: Result<Fed, Stop>,
    report: Result<Report, ReportError>,
    status: ExitStatus,
    words: &str,
) -> Result<(Fed, Report), ScanError> {
    let said = child::read_words(words);
    let fed = match fed {
        Ok(fed) => fed,
        // The scanner went away: how it ended tells more.
        Err(Stop::Feed(_)) if status.code() == Some(0) && said.trouble.is_none() => {
            return Err(ScanError::Blind);
        }
        Err(Stop::Feed(_)) if status.code() != Some(FOUND) => {
            return Err(died(status, said.trouble));
        }
        Err(stop) => return Err(ScanError::Objects(stop)),
    };
    if let (Some(words), Some(_)) = (&said.trouble, status.code()) {
        return Err(ScanError::Trouble { words: words.clone() });
    }
    match status.code() {
        Some(FOUND) => {}
        Some(0) => return Err(ScanError::Blind),
        _ => return Err(died(status, said.trouble)),
    }
    let report = report.map_err(|error| ScanError::Garbled(error.to_string()))?;
    let scanned = said.scanned.unwrap_or(0);
    if scanned != fed.scanned {
        return Err(ScanError::Truncated { fed: fed.scanned, scanned });
    }
    if said.leaks != Some(report.entries) {
        return Err(ScanError::Garbled("its report and its log differ".to_owned()));
    }
    if !fed.canaries.iter().all(|canary| report.canaries.contains(canary)) {
        return Err(ScanError::Blind);
    }
    Ok((fed, report))
}

fn died(status: ExitStatus, trouble: Option<String>) -> ScanError {
    ScanError::Died {
        how: child::describe(status),
        words: trouble.unwrap_or_else(|| "it said nothing".to_owned()),
    }
}
