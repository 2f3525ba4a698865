//! v2's `object-info` (gitprotocol-v2; git's protocol-caps.c): sizes of objects, without the objects.

use super::Limits;
use super::arguments::{below, parse_id};
use super::error::Error;
use crate::{ObjectFormat, ObjectId, pktline};

/// Of which objects something is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectInfo {
    pub size: bool,
    pub ids: Vec<ObjectId>,
}

impl ObjectInfo {
    pub(super) fn argument(
        &mut self,
        line: &[u8],
        format: ObjectFormat,
        limits: Limits,
    ) -> Result<(), Error> {
        if line == b"size" {
            self.size = true;
            return Ok(());
        }
        let hex = line
            .strip_prefix(b"oid ")
            .ok_or_else(|| Error::line("an argument of object-info", line))?;
        below(self.ids.len(), limits.wants, "object ids", "wants")?;
        self.ids.push(parse_id(format, hex).ok_or_else(|| Error::line("an object id", hex))?);
        Ok(())
    }

    /// Appends the first line of the answer.
    pub fn head(&self, out: &mut Vec<u8>) {
        if self.size {
            pktline::encode(out, b"size");
        }
    }

    /// Appends the line of one object; `size` is `None` where there is no such object.
    pub fn line(&self, out: &mut Vec<u8>, id: &ObjectId, size: Option<u64>) {
        let line = match size {
            _ if !self.size => id.to_hex(),
            Some(size) => format!("{id} {size}"),
            None => format!("{id} "),
        };
        pktline::encode(out, line.as_bytes());
    }
}
