//! The request for a pack, in the words of v2 and of v0.

use bstr::ByteSlice;

use crate::{Capabilities, ObjectId, pktline};

/// What is wanted and what is there. All haves go out at once, with `done`: they are tips the origin has just
/// confirmed, so there is nothing to negotiate and the pack comes in one round trip.
#[derive(Clone, Debug, Default)]
pub struct FetchRequest {
    pub wants: Vec<ObjectId>,
    pub haves: Vec<ObjectId>,
    /// The boundary of what is there already.
    pub shallow: Vec<ObjectId>,
    /// Ask for the history behind that boundary as well; only of an origin that knows `shallow`.
    pub unshallow: bool,
}

/// The depth that stands for all history (`INFINITE_DEPTH` in git's shallow.h).
const DEEPEN_ALL: &[u8] = b"deepen 2147483647\n";

impl FetchRequest {
    /// The request in v2 (gitprotocol-v2, "fetch").
    pub fn to_v2(&self, advertised: &Capabilities, agent: &str) -> Vec<u8> {
        let mut out = Vec::new();
        pktline::encode(&mut out, b"command=fetch\n");
        v2_capabilities(&mut out, advertised, agent);
        pktline::delim(&mut out);
        pktline::encode(&mut out, b"thin-pack\n");
        pktline::encode(&mut out, b"ofs-delta\n");
        self.lines(&mut out, "shallow", &self.shallow);
        if self.unshallow {
            pktline::encode(&mut out, DEEPEN_ALL);
        }
        self.lines(&mut out, "want", &self.wants);
        self.lines(&mut out, "have", &self.haves);
        pktline::encode(&mut out, b"done\n");
        pktline::flush(&mut out);
        out
    }

    /// The request in v0 and v1 (gitprotocol-pack, "Packfile Negotiation").
    ///
    /// multi_ack_detailed marks the last `ACK` before the pack as the one that says nothing more.
    pub fn to_v0(&self, advertised: &Capabilities, agent: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut capabilities = Capabilities::default();
        for name in ["multi_ack_detailed", "thin-pack", "ofs-delta"] {
            if advertised.has(name) {
                capabilities.push(name);
            }
        }
        if let Some(band) = sideband(advertised) {
            capabilities.push(band);
        }
        if advertised.has("agent") {
            capabilities.push(format!("agent={agent}"));
        }
        if let Some(format) = advertised.value("object-format") {
            capabilities.push(format!("object-format={format}"));
        }
        let mut behind = format!(" {}\n", capabilities.to_line());
        for want in &self.wants {
            let id = want.to_hex();
            pktline::encode_parts(&mut out, &[b"want ", id.as_bytes(), behind.as_bytes()]);
            "\n".clone_into(&mut behind);
        }
        self.lines(&mut out, "shallow", &self.shallow);
        if self.unshallow {
            pktline::encode(&mut out, DEEPEN_ALL);
        }
        pktline::flush(&mut out);
        self.lines(&mut out, "have", &self.haves);
        pktline::encode(&mut out, b"done\n");
        out
    }

    /// Whether the v0 pack will come in sideband packets.
    pub fn v0_has_sideband(advertised: &Capabilities) -> bool {
        sideband(advertised).is_some()
    }

    #[expect(clippy::unused_self, reason = "reads as a part of the request")]
    fn lines(&self, out: &mut Vec<u8>, word: &str, ids: &[ObjectId]) {
        for id in ids {
            pktline::encode_parts(out, &[word.as_bytes(), b" ", id.to_hex().as_bytes(), b"\n"]);
        }
    }
}

fn sideband(advertised: &Capabilities) -> Option<&'static str> {
    ["side-band-64k", "side-band"].into_iter().find(|name| advertised.has(name))
}

/// The capability lines every v2 command may carry, as far as the origin knows them.
pub(super) fn v2_capabilities(out: &mut Vec<u8>, advertised: &Capabilities, agent: &str) {
    if advertised.has("agent") {
        pktline::encode(out, format!("agent={agent}").as_bytes());
    }
    if let Some(format) = advertised.value("object-format") {
        pktline::encode_parts(out, &[b"object-format=", format.as_bytes(), b"\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> FetchRequest {
        let id = |digit: &str| ObjectId::from_hex(digit.repeat(40).as_bytes()).unwrap();
        FetchRequest {
            wants: vec![id("a"), id("b")],
            haves: vec![id("c")],
            shallow: vec![id("d")],
            unshallow: false,
        }
    }

    #[test]
    fn v2_sends_everything_and_done_in_one_go() {
        let text = request().to_v2(&Capabilities::default(), "gate/1");
        let expected = format!(
            "0012command=fetch\n0001000ethin-pack\n000eofs-delta\n0035shallow {}\n0032want {}\n0032want {}\n0032have {}\n0009done\n0000",
            "d".repeat(40),
            "a".repeat(40),
            "b".repeat(40),
            "c".repeat(40)
        );
        assert_eq!(text.as_bstr(), expected.as_bytes().as_bstr());
    }

    #[test]
    fn all_history_is_asked_for_before_the_haves() {
        let all = FetchRequest { unshallow: true, ..request() };
        for text in [
            all.to_v2(&Capabilities::default(), "gate/1"),
            all.to_v0(&Capabilities::default(), "gate/1"),
        ] {
            let shallow = text.find("shallow ddd").unwrap();
            let deepen = text.find("0016deepen 2147483647\n").unwrap();
            assert!(shallow < deepen && deepen < text.find("have ").unwrap());
        }
    }

    #[test]
    fn v0_asks_only_for_what_was_advertised() {
        let advertised = Capabilities::parse(b"multi_ack_detailed ofs-delta side-band agent=git/2");
        let text = request().to_v0(&advertised, "gate/1");
        let expected = format!(
            "0066want {} multi_ack_detailed ofs-delta side-band agent=gate/1\n0032want {}\n0035shallow {}\n00000032have {}\n0009done\n",
            "a".repeat(40),
            "b".repeat(40),
            "d".repeat(40),
            "c".repeat(40)
        );
        assert_eq!(text.as_bstr(), expected.as_bytes().as_bstr());
        assert!(FetchRequest::v0_has_sideband(&advertised));
    }
}
