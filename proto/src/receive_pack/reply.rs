//! What the client hears after its commands: progress, keepalives, the report, or why there is none.

use bstr::{BString, ByteSlice};

use super::{Asked, Report};
use crate::pktline;
use crate::sideband::{self, Band, Width};

/// Frames the answer in the way the client asked for.
#[derive(Clone, Debug)]
pub struct Reply {
    sideband: bool,
    quiet: bool,
    report: Option<Version2>,
}

#[derive(Clone, Copy, Debug)]
struct Version2(bool);

impl Reply {
    pub fn new(asked: &Asked) -> Self {
        let report = (asked.report_status || asked.report_status_v2)
            .then_some(Version2(asked.report_status_v2));
        Self { sideband: asked.sideband, quiet: asked.quiet, report }
    }

    /// Whether anything can be said before the report.
    pub const fn has_sideband(&self) -> bool {
        self.sideband
    }

    /// Appends a passing line about how far things are; nothing for a client that asked for quiet or has no sideband.
    pub fn progress(&self, out: &mut Vec<u8>, text: &[u8]) {
        if !self.quiet {
            self.message(out, text);
        }
    }

    /// Appends words that matter even to a quiet client: a refusal, what the origin said.
    pub fn message(&self, out: &mut Vec<u8>, text: &[u8]) {
        if self.sideband && !text.is_empty() {
            sideband::frame(out, Band::Progress, Width::Large, text);
        }
    }

    /// Appends git receive-pack's own keepalive, an empty packet on band 1.
    pub fn keepalive(&self, out: &mut Vec<u8>) {
        if self.sideband {
            sideband::frame(out, Band::Data, Width::Large, b"");
        }
    }

    /// Appends the report, if the client wants one, and the end of the stream.
    pub fn report(&self, out: &mut Vec<u8>, report: &Report) {
        if let Some(Version2(version_2)) = self.report {
            let mut lines = Vec::new();
            report.encode(&mut lines, version_2);
            if self.sideband {
                sideband::frame(out, Band::Data, Width::Large, &lines);
            } else {
                out.append(&mut lines);
            }
        }
        if self.sideband {
            pktline::flush(out);
        }
    }

    /// Appends the last word to a client that will get no report; git shows it as `remote error: …` and fails.
    pub fn fatal(&self, out: &mut Vec<u8>, text: &[u8]) {
        if self.sideband {
            sideband::frame(out, Band::Error, Width::Large, text);
            pktline::flush(out);
        } else {
            err(out, text);
        }
    }
}

/// Appends an `ERR` packet: how a server ends a conversation that has no sideband (gitprotocol-pack, "error-line").
pub(super) fn err(out: &mut Vec<u8>, text: &[u8]) {
    let text: BString = text.iter().take(1000).copied().collect();
    pktline::encode_parts(out, &[b"ERR ", text.as_bstr(), b"\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive_pack::RefReport;

    fn reply(sideband: bool, quiet: bool, report_status: bool) -> Reply {
        Reply::new(&Asked { report_status, sideband, quiet, ..Asked::default() })
    }

    #[test]
    fn says_only_what_the_client_can_hear() {
        let mut out = Vec::new();
        let bare = reply(false, false, false);
        bare.progress(&mut out, b"50 %\r");
        bare.message(&mut out, b"no\n");
        bare.keepalive(&mut out);
        bare.report(&mut out, &Report { unpack: Ok(()), refs: Vec::new() });
        assert_eq!(out.as_bstr(), "");
        bare.fatal(&mut out, b"no");
        assert_eq!(out.as_bstr(), "000bERR no\n");
    }

    #[test]
    fn quiet_mutes_progress_but_not_messages() {
        let mut out = Vec::new();
        let quiet = reply(true, true, true);
        quiet.progress(&mut out, b"50 %\r");
        quiet.message(&mut out, b"no\n");
        quiet.keepalive(&mut out);
        assert_eq!(out.as_bstr(), "0008\x02no\n0005\x01");
    }

    #[test]
    fn the_report_travels_on_band_one() {
        let mut out = Vec::new();
        let report = Report { unpack: Ok(()), refs: vec![RefReport::ok("refs/heads/a")] };
        reply(true, false, true).report(&mut out, &report);
        assert_eq!(out.as_bstr(), "002b\x01000eunpack ok\n0014ok refs/heads/a\n00000000");
        out.clear();
        reply(false, false, true).report(&mut out, &report);
        assert_eq!(out.as_bstr(), "000eunpack ok\n0014ok refs/heads/a\n0000");
    }
}
