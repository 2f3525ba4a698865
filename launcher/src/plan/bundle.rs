//! Sidecar images that are assembled from programs beside `bottle`, without a registry.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::names::Role;

/// An image that can be assembled here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// Holds a digest of the programs: other programs make another image.
    pub reference: String,
    pub dockerfile: &'static str,
    /// File on the host, and its path in the image.
    pub programs: Vec<(PathBuf, &'static str)>,
    /// Folders, each the user's own with mode 0700, laid out ready for copies.
    pub folders: &'static [&'static str],
}

/// A program is not where it must be.
#[derive(Debug, thiserror::Error)]
#[error(
    "the program `{program}` is not beside bottle, nor in ../libexec/bottle, nor in $BOTTLE_LIBEXEC"
)]
pub struct MissingBundle {
    pub program: &'static str,
}

/// The user that sidecars run as; distroless images call it nonroot.
pub const SIDECAR_UID: u32 = 65_532;

/// The program in that role's image.
pub fn program(role: Role) -> &'static str {
    match role {
        Role::GitGate => "git-gate",
        Role::CredProxy => "cred-proxy",
        Role::Probe => "bottle-guest",
        Role::Pipelock => "pipelock",
        Role::Agent => "agent",
    }
}

/// Looks for the programs of a role's image in the folders, and digests them.
///
/// # Errors
/// When a program that is there cannot be read. That it is not there is `None`.
pub fn find(role: Role, folders: &[PathBuf]) -> io::Result<Option<Bundle>> {
    let (dockerfile, programs, layout): (_, &[(&str, &str)], &[&str]) = match role {
        Role::GitGate => (
            include_str!("../../../docker/git-gate/assembled.Dockerfile"),
            &[("git-gate", "usr/bin/git-gate"), ("gitleaks", "usr/bin/gitleaks")],
            &["etc/git-gate", "run/git-gate/creds", "var/lib/git-gate"],
        ),
        Role::CredProxy => (
            include_str!("../../../docker/cred-proxy/assembled.Dockerfile"),
            &[("cred-proxy", "usr/bin/cred-proxy")],
            &["etc/cred-proxy", "run/cred-proxy/tokens"],
        ),
        Role::Probe => (
            include_str!("../../../docker/probe/assembled.Dockerfile"),
            &[("bottle-guest", "usr/bin/bottle-guest")],
            &[],
        ),
        Role::Pipelock | Role::Agent => return Ok(None),
    };
    let mut digest = Sha256::new();
    digest.update(dockerfile);
    let mut found = Vec::new();
    for (name, target) in programs {
        let Some(path) = find_program(name, folders) else { return Ok(None) };
        digest.update(std::fs::read(&path)?);
        found.push((path, *target));
    }
    let short: String = digest.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    Ok(Some(Bundle {
        reference: format!("bottle/{}:{version}-{short}", image_name(role)),
        dockerfile,
        programs: found,
        folders: layout,
    }))
}

/// The first of the folders in which there is a program of that name.
pub fn find_program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Where programs are looked for: the folder that is named, beside `bottle`, and libexec.
pub fn folders(named: Option<&str>, own: &Path) -> Vec<PathBuf> {
    let beside = own.parent().map(Path::to_owned);
    let libexec = beside.as_ref().map(|folder| folder.join("../libexec/bottle"));
    let assembled = beside.as_ref().map(|folder| folder.join("libexec"));
    named.map(PathBuf::from).into_iter().chain(assembled).chain(libexec).chain(beside).collect()
}

fn image_name(role: Role) -> &'static str {
    match role {
        Role::Probe => "probe",
        Role::GitGate | Role::CredProxy | Role::Pipelock | Role::Agent => role.as_str(),
    }
}
