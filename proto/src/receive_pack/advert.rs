//! The ref advertisement that opens a push.

use bstr::{BString, ByteSlice};

use crate::capability::sanitize_value;
use crate::{Capabilities, ObjectFormat, ObjectId, Version, pktline};

/// What the server offers besides its refs.
#[derive(Clone, Debug)]
pub struct Offer {
    pub format: ObjectFormat,
    /// Our name, as `agent=`.
    pub agent: BString,
    /// The session's id, as `session-id=`.
    pub session_id: BString,
    /// Whether several refs can be updated as one.
    pub atomic: bool,
    /// Whether `git push -o` is honoured.
    pub push_options: bool,
}

impl Offer {
    /// The capability list: only what this half and the gate behind it honour.
    pub fn capabilities(&self) -> Capabilities {
        let mut list: Capabilities =
            ["report-status", "report-status-v2", "delete-refs", "side-band-64k", "quiet"]
                .into_iter()
                .collect();
        if self.atomic {
            list.push("atomic");
        }
        list.push("ofs-delta");
        list.push(format!("object-format={}", self.format.as_str()));
        if self.push_options {
            list.push("push-options");
        }
        list.push(format!("session-id={}", sanitize_value(&self.session_id)));
        list.push(format!("agent={}", sanitize_value(&self.agent)));
        list
    }
}

/// Writes an advertisement piece by piece, so that a long one need not be held.
#[derive(Debug)]
pub struct Advertiser {
    /// Until the first line carried them.
    capabilities: Option<BString>,
    format: ObjectFormat,
}

impl Advertiser {
    /// Begins: protocol v1 announces itself by a line of its own, v2 is answered as v0 (git has no v2 push).
    pub fn begin(out: &mut Vec<u8>, version: Version, offer: &Offer) -> Self {
        if version == Version::V1 {
            pktline::encode(out, b"version 1\n");
        }
        Self { capabilities: Some(offer.capabilities().to_line()), format: offer.format }
    }

    /// Adds one ref.
    pub fn add(&mut self, out: &mut Vec<u8>, name: &[u8], target: &ObjectId) {
        let hex = target.to_hex();
        match self.capabilities.take() {
            Some(list) => {
                pktline::encode_parts(out, &[hex.as_bytes(), b" ", name, b"\0", &list, b"\n"]);
            }
            None => pktline::encode_parts(out, &[hex.as_bytes(), b" ", name, b"\n"]),
        }
    }

    /// Ends: a repository without refs still tells its capabilities, then come the shallow boundary and a flush.
    pub fn finish<'a>(
        mut self,
        out: &mut Vec<u8>,
        shallow: impl IntoIterator<Item = &'a ObjectId>,
    ) {
        if self.capabilities.is_some() {
            self.add(out, b"capabilities^{}".as_bstr(), &ObjectId::null(self.format));
        }
        for id in shallow {
            pktline::encode(out, format!("shallow {id}\n").as_bytes());
        }
        pktline::flush(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            format: ObjectFormat::Sha1,
            agent: "git-gate/0".into(),
            session_id: "7f 3a".into(),
            atomic: true,
            push_options: true,
        }
    }

    #[test]
    fn the_first_line_carries_the_capabilities() {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let mut out = Vec::new();
        let mut advertiser = Advertiser::begin(&mut out, Version::V1, &offer());
        advertiser.add(&mut out, b"refs/heads/a", &id);
        advertiser.add(&mut out, b"refs/heads/b", &id);
        advertiser.finish(&mut out, &[id]);
        let hex = "1".repeat(40);
        assert_eq!(
            out.as_bstr(),
            format!(
                "000eversion 1\n00cc{hex} refs/heads/a\0report-status report-status-v2 delete-refs \
                 side-band-64k quiet atomic ofs-delta object-format=sha1 push-options session-id=7f.3a \
                 agent=git-gate/0\n003a{hex} refs/heads/b\n0035shallow {hex}\n0000"
            )
        );
    }

    #[test]
    fn an_empty_repository_tells_its_capabilities_all_the_same() {
        let mut out = Vec::new();
        Advertiser::begin(&mut out, Version::V0, &offer()).finish(&mut out, []);
        let head = format!("{} capabilities^{{}}\0report-status ", "0".repeat(40));
        assert!(out[4..].starts_with(head.as_bytes()), "{}", out.as_bstr());
        assert!(out.ends_with(b"0000"));
    }
}
