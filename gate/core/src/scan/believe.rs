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
            return Err(died(status, words, said.trouble));
        }
        Err(stop) => return Err(ScanError::Objects(stop)),
    };
    match (status.code(), said.trouble) {
        (Some(FOUND), None) => {}
        (Some(0 | FOUND), Some(words)) => return Err(ScanError::Trouble { words }),
        (Some(0), None) => return Err(ScanError::Blind),
        (_, trouble) => return Err(died(status, words, trouble)),
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

fn died(status: ExitStatus, words: &str, trouble: Option<String>) -> ScanError {
    // Go's words, and those of RE2, which is C++.
    if ["out of memory", "std::bad_alloc"].iter().any(|sign| words.contains(sign)) {
        return ScanError::OutOfMemory;
    }
    ScanError::Died {
        how: child::describe(status),
        words: trouble.unwrap_or_else(|| "it said nothing".to_owned()),
    }
}
