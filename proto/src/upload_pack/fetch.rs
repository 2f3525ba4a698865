//! The sections of v2's answer to `fetch`, in the order of gitprotocol-v2: acknowledgments, shallow-info, wanted-refs,
//! packfile.

use super::{WantRef, Writer};
use crate::{ObjectId, pktline};

/// Appends the acknowledgments. `ready` says that a pack follows in this very answer.
///
/// Ends with a delimiter when something follows, else with the flush that ends the answer.
pub fn acknowledgments(out: &mut Vec<u8>, writer: Writer, common: &[ObjectId], ready: bool) {
    writer.line(out, b"acknowledgments\n");
    if common.is_empty() {
        writer.line(out, b"NAK\n");
    }
    for id in common {
        writer.line(out, format!("ACK {id}\n").as_bytes());
    }
    if ready {
        writer.line(out, b"ready\n");
        pktline::delim(out);
    } else {
        pktline::flush(out);
    }
}

/// Appends the new shallow boundary, with its delimiter.
pub fn shallow_info(
    out: &mut Vec<u8>,
    writer: Writer,
    shallow: &[ObjectId],
    unshallow: &[ObjectId],
) {
    writer.line(out, b"shallow-info\n");
    for id in shallow {
        writer.line(out, format!("shallow {id}").as_bytes());
    }
    for id in unshallow {
        writer.line(out, format!("unshallow {id}").as_bytes());
    }
    pktline::delim(out);
}

/// Appends what the refs wanted by name stand at, with its delimiter; nothing if there are none.
pub fn wanted_refs(out: &mut Vec<u8>, writer: Writer, refs: &[(WantRef, ObjectId)]) {
    if refs.is_empty() {
        return;
    }
    writer.line(out, b"wanted-refs\n");
    for (want, id) in refs {
        let mut line = [id.to_hex().as_bytes(), b" "].concat();
        match want {
            WantRef::Name(name) => line.extend_from_slice(name.as_bytes()),
            WantRef::Id(id) => id.append_hex(&mut line),
        }
        line.push(b'\n');
        writer.line(out, &line);
    }
    pktline::delim(out);
}

/// Appends the line behind which the pack comes, in sideband packets up to a flush.
pub fn packfile(out: &mut Vec<u8>, writer: Writer) {
    writer.line(out, b"packfile\n");
}
