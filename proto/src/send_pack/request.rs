//! Commands and options for the origin, written.

use bstr::{BString, ByteSlice};

use crate::capability::sanitize_value;
use crate::{Capabilities, ObjectFormat, ObjectId, RefName, pktline};

/// One ref to change: `old` is the compare, `new` the swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub name: RefName,
    pub old: Option<ObjectId>,
    pub new: Option<ObjectId>,
}

/// What is asked of the origin.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub format: ObjectFormat,
    pub updates: &'a [Update],
    pub atomic: bool,
    pub quiet: bool,
    pub options: &'a [BString],
    /// The boundary of our own shallow mirror.
    pub shallow: &'a [ObjectId],
    pub agent: &'a str,
    pub session_id: &'a str,
}

impl Request<'_> {
    /// Appends commands and options for an origin that offers `offered`; only what it offered is asked for.
    ///
    /// A pack follows unless every update deletes. Whether the origin offers `atomic` and `push-options` at all is for
    /// the caller to look at first: here they are left out when it does not.
    pub fn encode(&self, out: &mut Vec<u8>, offered: &Capabilities) {
        for id in self.shallow {
            pktline::encode(out, format!("shallow {id}").as_bytes());
        }
        let list = self.capabilities(offered).to_line();
        for (index, update) in self.updates.iter().enumerate() {
            let null = ObjectId::null(self.format);
            let ids = format!("{} {} ", update.old.unwrap_or(null), update.new.unwrap_or(null));
            let name = update.name.as_bytes();
            if index == 0 {
                pktline::encode_parts(out, &[ids.as_bytes(), name, b"\0 ", &list]);
            } else {
                pktline::encode_parts(out, &[ids.as_bytes(), name]);
            }
        }
        pktline::flush(out);
        if self.sends_options(offered) {
            for option in self.options {
                pktline::encode(out, option);
            }
            pktline::flush(out);
        }
    }

    fn sends_options(&self, offered: &Capabilities) -> bool {
        !self.options.is_empty() && offered.has("push-options")
    }

    fn capabilities(&self, offered: &Capabilities) -> Capabilities {
        let mut list = Capabilities::default();
        let report = ["report-status-v2", "report-status"].into_iter().find(|c| offered.has(c));
        report.into_iter().for_each(|capability| list.push(capability));
        for (capability, wanted) in [
            ("side-band-64k", true),
            ("quiet", self.quiet),
            ("atomic", self.atomic),
            ("push-options", self.sends_options(offered)),
        ] {
            if wanted && offered.has(capability) {
                list.push(capability);
            }
        }
        if offered.has("object-format") {
            list.push(format!("object-format={}", self.format.as_str()));
        }
        if offered.has("agent") {
            list.push(format!("agent={}", sanitize_value(self.agent.as_bytes()).as_bstr()));
        }
        if offered.has("session-id") {
            let id = sanitize_value(self.session_id.as_bytes());
            list.push(format!("session-id={}", id.as_bstr()));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_only_for_what_was_offered() {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let update = |name: &str, old, new| Update {
            name: RefName::parse(name.as_bytes()).unwrap(),
            old,
            new,
        };
        let updates =
            [update("refs/heads/a", None, Some(id)), update("refs/heads/b", Some(id), None)];
        let options = [BString::default(), "x".into()];
        let request = Request {
            format: ObjectFormat::Sha1,
            updates: &updates,
            atomic: true,
            quiet: false,
            options: &options,
            shallow: &[],
            agent: "git-gate/0",
            session_id: "7f3a",
        };
        let encode = |offered: &str| {
            let mut out = Vec::new();
            request.encode(&mut out, &Capabilities::parse(offered.as_bytes()));
            out
        };
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        assert_eq!(
            encode("report-status").as_bstr(),
            format!(
                "0071{zero} {one} refs/heads/a\0 report-status0062{one} {zero} refs/heads/b0000"
            )
        );
        assert_eq!(
            encode("report-status report-status-v2 side-band-64k quiet atomic push-options object-format=sha1 agent=x")
                .as_bstr(),
            format!(
                "00ba{zero} {one} refs/heads/a\0 report-status-v2 side-band-64k atomic push-options \
                 object-format=sha1 agent=git-gate/00062{one} {zero} refs/heads/b000000040005x0000"
            )
        );
    }
}
