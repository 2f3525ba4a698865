//! The names of all that a bottle is made of. Whoever knows the bottle's name can find all of it.

use std::fmt;

/// What every label of ours begins with.
pub const LABEL_BOTTLE: &str = "dev.bottle.name";
/// Which part of the bottle a thing is: a [`Role`], `closed-network`, `egress-network`, …
pub const LABEL_ROLE: &str = "dev.bottle.role";
/// Which version of `bottle` made it.
pub const LABEL_VERSION: &str = "dev.bottle.version";
/// The launch that made it, so that one launch undoes only its own.
pub const LABEL_LAUNCH: &str = "dev.bottle.launch";

/// A container's part in a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Pipelock,
    GitGate,
    CredProxy,
    Agent,
    /// Runs the self-test in the agent's network namespace, and is removed after it.
    Probe,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipelock => "pipelock",
            Self::GitGate => "git-gate",
            Self::CredProxy => "cred-proxy",
            Self::Agent => "agent",
            Self::Probe => "probe",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pipelock, Self::GitGate, Self::CredProxy, Self::Agent, Self::Probe]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A bottle's name: what its containers, networks and volumes are named by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct BottleName(String);

/// Why a word cannot name a bottle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "`{0}` cannot name a bottle: a name is 1 to {MAX_NAME} of a-z, 0-9 and `-`, and begins with a letter or digit"
    )]
    Shape(String),
    #[error("`{name}` cannot name a bottle: `bottle-{name}` could be the {part} of another bottle")]
    Taken { name: String, part: &'static str },
}

/// So that the longest name made of it still is a host name's label (63).
const MAX_NAME: usize = 40;

/// What stands before the name in the names of a bottle's parts, besides the agent's.
const PARTS: [&str; 6] = ["pipelock", "git-gate", "cred-proxy", "probe", "net", "egress"];
const VOLUME_PARTS: [&str; 2] = ["work", "home"];

impl BottleName {
    /// # Errors
    /// [`NameError`] when the name has letters a container's name cannot have, or when a part of
    /// another bottle could have the very name (`pipelock-x` is the agent of `pipelock-x` and the
    /// pipelock of `x`).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = (1..=MAX_NAME).contains(&text.len())
            && text.starts_with(plain)
            && text.chars().all(|c| plain(c) || c == '-');
        if !well_formed {
            return Err(NameError::Shape(text.to_owned()));
        }
        for part in PARTS.into_iter().chain(VOLUME_PARTS) {
            if text.strip_prefix(part).is_some_and(|rest| rest.starts_with('-')) {
                return Err(NameError::Taken { name: text.to_owned(), part });
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn container(&self, role: Role) -> String {
        match role {
            Role::Agent => format!("bottle-{}", self.0),
            Role::Pipelock | Role::GitGate | Role::CredProxy | Role::Probe => {
                format!("bottle-{role}-{}", self.0)
            }
        }
    }

    /// The network that has no way out.
    pub fn closed_network(&self) -> String {
        format!("bottle-net-{}", self.0)
    }

    /// The network by which the sidecars go out.
    pub fn egress_network(&self) -> String {
        format!("bottle-egress-{}", self.0)
    }

    pub fn work_volume(&self) -> String {
        format!("bottle-work-{}", self.0)
    }

    pub fn home_volume(&self) -> String {
        format!("bottle-home-{}", self.0)
    }
}

impl fmt::Display for BottleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bottle_is_named_like_a_sidecar_of_another() {
        for part in ["pipelock-x", "git-gate-x", "cred-proxy-x", "net-x", "work-x"] {
            assert!(matches!(BottleName::parse(part), Err(NameError::Taken { .. })), "{part}");
        }
        for fine in ["pipelock", "network", "x-pipelock", "git-gates"] {
            assert!(BottleName::parse(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn refuses_names_no_container_can_have() {
        for name in ["", "-x", "X", "a b", "../x", "a_b", "é", &"x".repeat(41)] {
            assert!(matches!(BottleName::parse(name), Err(NameError::Shape(_))), "{name}");
        }
    }
}
