//! The first part of v0's conversation: wants, with the capabilities the client picked, and lines about depth.

use crate::sideband::Width;
use crate::upload_pack::Limits;
use crate::upload_pack::arguments::{Collector, Fetch};
use crate::upload_pack::error::Error;
use crate::{Capabilities, ObjectFormat};

/// How haves are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MultiAck {
    No,
    Plain,
    Detailed,
}

#[derive(Debug)]
pub(super) struct Needs {
    collector: Collector,
    format: ObjectFormat,
    multi_ack: MultiAck,
    no_done: bool,
    filter: bool,
    untouched: bool,
}

impl Needs {
    pub(super) fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            collector: Collector::new(format, limits),
            format,
            multi_ack: MultiAck::No,
            no_done: false,
            filter: false,
            untouched: true,
        }
    }

    pub(super) fn is_untouched(&self) -> bool {
        self.untouched
    }

    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        self.untouched = false;
        if let Some(want) = line.strip_prefix(b"want ") {
            let hex = want.len().min(self.format.hex_len());
            self.collector.want(&want[..hex])?;
            return self.capabilities(&Capabilities::parse(&want[hex..]));
        }
        if let Some(spec) = line.strip_prefix(b"filter ") {
            if !self.filter {
                return Err(Error::Filter);
            }
            return self.collector.filter(spec);
        }
        if self.collector.depth_line(line)? {
            return Ok(());
        }
        Err(Error::line("an object id to want", line))
    }

    /// git reads the capabilities of every want line, and so do we.
    fn capabilities(&mut self, list: &Capabilities) -> Result<(), Error> {
        let fetch = &mut self.collector.fetch;
        for (name, value) in list.iter() {
            let name: &[u8] = name;
            match name {
                b"deepen-relative" => self.collector.relative = true,
                b"multi_ack_detailed" => self.multi_ack = MultiAck::Detailed,
                b"multi_ack" if self.multi_ack == MultiAck::No => self.multi_ack = MultiAck::Plain,
                b"no-done" => self.no_done = true,
                b"thin-pack" => fetch.thin_pack = true,
                b"ofs-delta" => fetch.ofs_delta = true,
                b"side-band-64k" => fetch.sideband = Some(Width::Large),
                b"side-band" if fetch.sideband.is_none() => fetch.sideband = Some(Width::Small),
                b"no-progress" => fetch.no_progress = true,
                b"include-tag" => fetch.include_tag = true,
                b"filter" => self.filter = true,
                b"object-format" => {
                    let value: &[u8] = value.map_or(&b""[..], |value| value);
                    if ObjectFormat::parse(value) != Some(self.format) {
                        return Err(Error::object_format(self.format, value));
                    }
                }
                // what a client picks beyond our offer, such as its agent, changes nothing
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Fetch, MultiAck, bool), Error> {
        Ok((self.collector.finish()?, self.multi_ack, self.no_done))
    }
}
