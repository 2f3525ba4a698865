//! How pushes are scanned.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The scanner and the operator's exceptions. There is no switch that turns scanning off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// The gitleaks binary; without it, the one beside the gate's own, else the one on PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitleaks: Option<PathBuf>,
    /// Files of gitleaks rules that are used as well as the built-in ones.
    pub rules: Vec<PathBuf>,
    /// Fingerprints of findings that may pass, as a refusal prints them.
    pub allow: Vec<String>,
    /// Scanners at once; without it, one a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanners: Option<NonZeroUsize>,
}
