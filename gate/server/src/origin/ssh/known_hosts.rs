//! Pinned host keys: the file format of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::{Algorithm, HashAlg, PublicKey};

/// The keys pinned for one host and port.
#[derive(Debug, Default)]
pub(super) struct Pins {
    good: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

/// What the pins say of a key that a server presents.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pinned,
    Revoked,
    /// Another key is pinned.
    Other,
}

impl Pins {
    /// Reads what `file` says of `host` at `port`. Lines that can't be understood pin nothing, as in ssh.
    pub(super) fn read(file: &str, host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        let mut pins = Self::default();
        for line in file.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let (marker, line) = match line.strip_prefix('@') {
                Some(rest) => rest.split_once([' ', '\t']).unwrap_or((rest, "")),
                None => ("", line),
            };
            let mut fields = line.split_ascii_whitespace();
            let (Some(hosts), Some(_type), Some(key)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let Ok(key) = russh::keys::parse_public_key_base64(key) else { continue };
            match marker {
                "" if matches(hosts, &name) => pins.good.push(key),
                "revoked" if matches(hosts, &name) => pins.revoked.push(key),
                // a certificate authority pins no key that could be compared
                _ => {}
            }
        }
        pins
    }

    pub(super) fn is_empty(&self) -> bool {
        self.good.is_empty()
    }

    /// Judges a presented key. A revoked key is refused even if it is pinned too.
    pub(super) fn judge(&self, key: &PublicKey) -> Verdict {
        let same = |pin: &PublicKey| pin.key_data() == key.key_data();
        if self.revoked.iter().any(same) {
            Verdict::Revoked
        } else if self.good.iter().any(same) {
            Verdict::Pinned
        } else {
            Verdict::Other
        }
    }

    /// Host key algorithms to ask for: those of the pinned keys, else a server that has several shows another one.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for pin in &self.good {
            let of_pin = match pin.algorithm() {
                Algorithm::Rsa { .. } => vec![
                    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
                    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
                ],
                other => vec![other],
            };
            for algorithm in of_pin {
                if !algorithms.contains(&algorithm) {
                    algorithms.push(algorithm);
                }
            }
        }
        algorithms
    }

    /// The pinned fingerprints, as `ssh-keygen -l` shows them.
    pub(super) fn fingerprints(&self) -> String {
        let all: Vec<_> = self.good.iter().map(fingerprint).collect();
        all.join(" or ")
    }
}

/// `SHA256:…` of a key.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Whether a host field names `name`: patterns with `*` and `?`, `!` to exclude, or one hashed name.
fn matches(field: &str, name: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let mut found = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if wildcard(excluded, name) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern, name),
        }
    }
    found
}

fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            // back to the last star, which takes one byte more
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, n) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const B: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4A4gYFpZ3Bm0zXz6l5O9Yv4kGQzJ3gQkXv4dJp1p6u";

    fn key(line: &str) -> PublicKey {
        russh::keys::parse_public_key_base64(line.split(' ').nth(1).unwrap()).unwrap()
    }

    fn pinned(file: &str, host: &str, port: u16) -> bool {
        Pins::read(file, host, port).judge(&key(A)) == Verdict::Pinned
    }

    #[test]
    fn a_plain_name_pins_port_22_alone() {
        let file = format!("# comment\n\nother,Git.Example {A} me@here\n");
        assert!(pinned(&file, "git.example", 22) && pinned(&file, "GIT.example", 22));
        assert!(!pinned(&file, "git.example", 2222) && !pinned(&file, "example", 22));
        let file = format!("[git.example]:2222 {A}\n");
        assert!(pinned(&file, "git.example", 2222) && !pinned(&file, "git.example", 22));
    }

    #[test]
    fn patterns_match_and_exclude() {
        let file = format!("*.example,!bad.example,10.0.?.1 {A}\n");
        assert!(pinned(&file, "a.example", 22) && pinned(&file, "10.0.7.1", 22));
        assert!(!pinned(&file, "bad.example", 22) && !pinned(&file, "10.0.77.1", 22));
        let file = format!("[*]:2222 {A}\n");
        assert!(pinned(&file, "h", 2222) && !pinned(&file, "h", 2223));
    }

    #[test]
    fn a_hashed_name_is_found() {
        // ssh-keygen -H of "git.example" and "[git.example]:2222"
        let salt = [7_u8; 20];
        let hashed = |name: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            let hash = hmac::sign(&key, name.as_bytes());
            format!("|1|{}|{} {A}\n", STANDARD.encode(salt), STANDARD.encode(hash))
        };
        assert!(pinned(&hashed("git.example"), "git.example", 22));
        assert!(!pinned(&hashed("git.example"), "git.example", 2222));
        assert!(pinned(&hashed("[git.example]:2222"), "git.example", 2222));
        assert!(!pinned("|1|zz|zz ssh-ed25519 x", "git.example", 22));
    }

    #[test]
    fn a_revoked_key_is_refused_even_if_pinned() {
        let file = format!("h {A}\n@revoked * {A}\n");
        assert_eq!(Pins::read(&file, "h", 22).judge(&key(A)), Verdict::Revoked);
        assert_eq!(Pins::read(&format!("h {B}\n"), "h", 22).judge(&key(A)), Verdict::Other);
        assert!(Pins::read(&format!("@cert-authority h {A}\n"), "h", 22).is_empty());
    }

    #[test]
    fn garbage_pins_nothing() {
        for file in ["", "h", "h ssh-ed25519", "h ssh-ed25519 !!!!", "@revoked", "@", "|1| a b"] {
            assert!(Pins::read(file, "h", 22).is_empty(), "{file:?}");
        }
    }

    #[test]
    fn asks_for_the_pinned_kinds_of_key_only() {
        let pins = Pins::read(&format!("h {A}\nh {B}\n"), "h", 22);
        assert_eq!(pins.algorithms(), [Algorithm::Ed25519]);
        assert!(pins.fingerprints().starts_with("SHA256:"));
    }
}
