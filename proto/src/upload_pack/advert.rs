//! Advertisements: of capabilities in v2, of refs and capabilities in v0 and v1.

use crate::{Capabilities, Head, ObjectFormat, ObjectId, RefName, pktline};

/// What every advertisement says of the server itself.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// `agent`: printable, without spaces.
    pub agent: &'a str,
    pub session_id: &'a str,
    pub format: ObjectFormat,
}

/// Appends v2's capability advertisement. It holds no refs, so nothing needs to be known of them yet.
pub fn v2(out: &mut Vec<u8>, server: Server<'_>) {
    pktline::encode(out, b"version 2\n");
    for line in [
        format!("agent={}\n", server.agent),
        "ls-refs=unborn\n".to_owned(),
        "fetch=shallow wait-for-done filter ref-in-want sideband-all\n".to_owned(),
        "server-option\n".to_owned(),
        format!("object-format={}\n", server.format.as_str()),
        format!("session-id={}\n", server.session_id),
        "object-info\n".to_owned(),
    ] {
        pktline::encode(out, line.as_bytes());
    }
    pktline::flush(out);
}

/// Writes the ref advertisement of v0 and v1, ref by ref.
#[derive(Debug)]
pub struct V0 {
    capabilities: Option<Vec<u8>>,
    format: ObjectFormat,
}

impl V0 {
    /// Begins an advertisement. `head` is told as a symref where the branch exists; `stateless` allows `no-done`, which
    /// only makes sense where every round is a request of its own.
    pub fn new(server: Server<'_>, head: Option<&Head>, stateless: bool) -> Self {
        let mut list: Capabilities = [
            "multi_ack",
            "thin-pack",
            "side-band",
            "side-band-64k",
            "ofs-delta",
            "shallow",
            "deepen-since",
            "deepen-not",
            "deepen-relative",
            "no-progress",
            "include-tag",
            "multi_ack_detailed",
            "allow-tip-sha1-in-want",
            "allow-reachable-sha1-in-want",
        ]
        .into_iter()
        .collect();
        if stateless {
            list.push("no-done");
        }
        if let Some(Head::Symbolic(branch)) = head {
            list.push([b"symref=HEAD:", branch.as_bytes()].concat());
        }
        list.push("filter");
        list.push(format!("session-id={}", server.session_id));
        list.push(format!("object-format={}", server.format.as_str()));
        list.push(format!("agent={}", server.agent));
        Self { capabilities: Some(list.to_line().into()), format: server.format }
    }

    /// Appends v1's first line.
    pub fn version_1(out: &mut Vec<u8>) {
        pktline::encode(out, b"version 1\n");
    }

    /// Appends one ref, and what it peels to; `HEAD` comes first, the others in their order.
    pub fn line(
        &mut self,
        out: &mut Vec<u8>,
        name: &[u8],
        target: &ObjectId,
        peeled: Option<&ObjectId>,
    ) {
        let capabilities = self.capabilities.take();
        pktline::encode_with(out, |out| {
            target.append_hex(out);
            out.push(b' ');
            out.extend_from_slice(name);
            if let Some(list) = capabilities {
                out.push(0);
                out.extend_from_slice(&list);
            }
            out.push(b'\n');
        });
        if let Some(peeled) = peeled {
            pktline::encode_with(out, |out| {
                peeled.append_hex(out);
                out.push(b' ');
                out.extend_from_slice(name);
                out.extend_from_slice(b"^{}\n");
            });
        }
    }

    /// Appends what ends the advertisement: the commits whose parents this repository lacks, and a flush.
    pub fn finish(mut self, out: &mut Vec<u8>, shallow: &[ObjectId]) {
        if self.capabilities.is_some() {
            let null = ObjectId::null(self.format);
            self.line(out, NO_REFS, &null, None);
        }
        for id in shallow {
            pktline::encode(out, format!("shallow {id}\n").as_bytes());
        }
        pktline::flush(out);
    }
}

/// Stands in for a ref where there is none, to carry the capabilities (gitprotocol-pack, "no-refs").
const NO_REFS: &[u8] = b"capabilities^{}";

/// Whether a symref is worth telling: v0 has no word for an unborn branch.
pub fn born(head: Option<&Head>, exists: impl FnOnce(&RefName) -> bool) -> Option<&Head> {
    head.filter(|head| match head {
        Head::Symbolic(branch) => exists(branch),
        Head::Detached(_) => true,
    })
}
