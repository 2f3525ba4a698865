//! The report of a push (gitprotocol-pack, "Report Status" and "report-status-v2").

use bstr::{BStr, BString, ByteSlice};

use crate::{ObjectId, pktline};

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `unpack ok`, or why the pack was not taken.
    pub unpack: Result<(), BString>,
    pub refs: Vec<RefReport>,
}

/// What became of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefReport {
    pub name: BString,
    pub outcome: Outcome,
}

/// A ref's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Updated; each rewrite tells of a ref that was changed in its place (version 2 only).
    Ok(Vec<Rewrite>),
    /// Not updated, and why.
    Ng(BString),
}

/// The option lines behind one `ok`: what really happened to which ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    pub refname: Option<BString>,
    pub old: Option<ObjectId>,
    pub new: Option<ObjectId>,
    pub forced: bool,
}

impl RefReport {
    pub fn ok(name: impl Into<BString>) -> Self {
        Self { name: name.into(), outcome: Outcome::Ok(Vec::new()) }
    }

    pub fn ng(name: impl Into<BString>, reason: impl Into<BString>) -> Self {
        Self { name: name.into(), outcome: Outcome::Ng(reason.into()) }
    }

    pub const fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }
}

impl Report {
    /// Appends the report with its flush; option lines only for clients that asked for version 2.
    ///
    /// Control bytes in reasons become `?`, and a reason is cut where its line would be longer than a packet.
    pub fn encode(&self, out: &mut Vec<u8>, version_2: bool) {
        match &self.unpack {
            Ok(()) => pktline::encode(out, b"unpack ok\n"),
            Err(reason) => pktline::encode_parts(out, &[b"unpack ", &one_line(reason, 0), b"\n"]),
        }
        for report in &self.refs {
            let name = report.name.as_bstr();
            match &report.outcome {
                Outcome::Ok(rewrites) => {
                    pktline::encode_parts(out, &[b"ok ", name, b"\n"]);
                    if version_2 {
                        encode_rewrites(out, name, rewrites);
                    }
                }
                Outcome::Ng(reason) => {
                    let reason = one_line(reason, name.len());
                    pktline::encode_parts(out, &[b"ng ", name, b" ", &reason, b"\n"]);
                }
            }
        }
        pktline::flush(out);
    }
}

/// As git's `report_v2`: the first rewrite follows the `ok` it belongs to, each further one repeats that line.
fn encode_rewrites(out: &mut Vec<u8>, name: &BStr, rewrites: &[Rewrite]) {
    for (index, rewrite) in rewrites.iter().enumerate() {
        if index > 0 {
            pktline::encode_parts(out, &[b"ok ", name, b"\n"]);
        }
        if let Some(refname) = &rewrite.refname {
            pktline::encode_parts(out, &[b"option refname ", refname, b"\n"]);
        }
        if let Some(old) = rewrite.old {
            pktline::encode(out, format!("option old-oid {old}\n").as_bytes());
        }
        if let Some(new) = rewrite.new {
            pktline::encode(out, format!("option new-oid {new}\n").as_bytes());
        }
        if rewrite.forced {
            pktline::encode(out, b"option forced-update\n");
        }
    }
}

fn one_line(reason: &[u8], taken: usize) -> Vec<u8> {
    const ROOM: usize = pktline::MAX_DATA - "unpack  \n".len();
    let clean = |b: &u8| if b.is_ascii_control() { b'?' } else { *b };
    reason.iter().take(ROOM.saturating_sub(taken)).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_git_prints() {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let rewrite = Rewrite {
            refname: Some("refs/pull/1/head".into()),
            old: Some(id),
            new: Some(id),
            forced: true,
        };
        let report = Report {
            unpack: Ok(()),
            refs: vec![
                RefReport {
                    name: "refs/for/main".into(),
                    outcome: Outcome::Ok(vec![rewrite.clone(), Rewrite { old: None, ..rewrite }]),
                },
                RefReport::ng("refs/heads/b", "hook\ndeclined"),
            ],
        };
        let mut v1 = Vec::new();
        report.encode(&mut v1, false);
        assert_eq!(
            v1.as_bstr(),
            "000eunpack ok\n0015ok refs/for/main\n0022ng refs/heads/b hook?declined\n0000"
        );
        let mut v2 = Vec::new();
        report.encode(&mut v2, true);
        let hex = "1".repeat(40);
        assert_eq!(
            v2.as_bstr(),
            format!(
                "000eunpack ok\n0015ok refs/for/main\n0024option refname refs/pull/1/head\n\
                 003coption old-oid {hex}\n003coption new-oid {hex}\n0019option forced-update\n\
                 0015ok refs/for/main\n0024option refname refs/pull/1/head\n\
                 003coption new-oid {hex}\n0019option forced-update\n\
                 0022ng refs/heads/b hook?declined\n0000"
            )
        );
    }

    #[test]
    fn a_reason_never_outgrows_its_packet() {
        let long = "x".repeat(70_000);
        let report = Report {
            unpack: Err(long.clone().into()),
            refs: vec![RefReport::ng("r".repeat(4096), long)],
        };
        let mut out = Vec::new();
        report.encode(&mut out, true);
        let mut decoder = pktline::Decoder::default();
        decoder.push(&out);
        assert!(decoder.next_packet().is_ok_and(|p| p.is_some()));
        assert!(decoder.next_packet().is_ok_and(|p| p.is_some()));
        assert_eq!(decoder.next_packet(), Ok(Some(pktline::Packet::Flush)));
    }
}
