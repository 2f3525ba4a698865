//! The ways in which one content is read as text.

use bstr::BString;

use super::cut::Cutter;
use super::text::{Utf16, Utf16Decoder, WideStrings};

/// How a segment's text was made of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum View {
    /// The bytes as they are.
    Plain,
    /// Decoded from UTF-16.
    Utf16,
    /// Wide characters picked out of a binary, or a name; its lines are not the file's.
    Strings,
}

/// Where a segment comes from: a path (`outer.zip!inner` within archives) and a view of what stands there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) path: BString,
    pub(super) view: View,
}

/// Takes the segments of one content; what goes wrong in there is remembered there.
pub(super) trait Segments {
    fn segment(&mut self, place: &Place, line: u64, text: &[u8]);
    /// Whether more segments are of no use.
    fn done(&self) -> bool;
}

/// Reads one content, given in pieces of any size, in all the ways that may show something.
#[derive(Debug)]
pub(super) struct Views {
    path: BString,
    head: Vec<u8>,
    plain: Cutter,
    utf16: Option<(Utf16Decoder, Cutter)>,
    wide: WideStrings<2>,
    wider: WideStrings<4>,
    strings: Option<Cutter>,
    scratch: Vec<u8>,
}

impl Views {
    /// How many bytes are looked at to tell UTF-16.
    const HEAD: usize = 1024;

    pub(super) fn new(path: BString) -> Self {
        Self {
            path,
            head: Vec::new(),
            plain: Cutter::new(),
            utf16: None,
            wide: WideStrings::default(),
            wider: WideStrings::default(),
            strings: None,
            scratch: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], into: &mut dyn Segments) {
        let place = self.place(View::Plain);
        self.plain.push(bytes, &mut |line, text| into.segment(&place, line, text));
        self.strings(bytes, false, into);
        let mut rest = bytes;
        if self.head.len() < Self::HEAD {
            let (head, after) = bytes.split_at(bytes.len().min(Self::HEAD - self.head.len()));
            self.head.extend_from_slice(head);
            if self.head.len() < Self::HEAD {
                return;
            }
            self.detect(into);
            rest = after;
        }
        self.utf16(rest, into);
    }

    /// Shows what is left.
    pub(super) fn finish(mut self, into: &mut dyn Segments) {
        if self.head.len() < Self::HEAD {
            self.detect(into);
        }
        self.strings(&[], true, into);
        for (view, cutter) in [
            (View::Utf16, self.utf16.take().map(|(_, cutter)| cutter)),
            (View::Strings, self.strings.take()),
        ] {
            let place = self.place(view);
            if let Some(cutter) = cutter {
                cutter.finish(&mut |line, text| into.segment(&place, line, text));
            }
        }
        let place = self.place(View::Plain);
        self.plain.finish(&mut |line, text| into.segment(&place, line, text));
    }

    fn place(&self, view: View) -> Place {
        Place { path: self.path.clone(), view }
    }

    fn detect(&mut self, into: &mut dyn Segments) {
        if let Some(order) = Utf16::detect(&self.head) {
            self.utf16 = Some((Utf16Decoder::new(order), Cutter::new()));
            let head = std::mem::take(&mut self.head);
            self.utf16(&head, into);
            self.head = head;
        }
    }

    fn utf16(&mut self, bytes: &[u8], into: &mut dyn Segments) {
        let place = self.place(View::Utf16);
        let Some((decoder, cutter)) = &mut self.utf16 else { return };
        for bytes in bytes.chunks(64 * 1024) {
            self.scratch.clear();
            decoder.decode(bytes, &mut self.scratch);
            cutter.push(&self.scratch, &mut |line, text| into.segment(&place, line, text));
        }
    }

    fn strings(&mut self, bytes: &[u8], at_end: bool, into: &mut dyn Segments) {
        let place = self.place(View::Strings);
        for bytes in bytes.chunks(64 * 1024).chain(at_end.then_some(&[][..])) {
            self.scratch.clear();
            self.wide.find(bytes, &mut self.scratch);
            self.wider.find(bytes, &mut self.scratch);
            if at_end {
                self.wide.end(&mut self.scratch);
                self.wider.end(&mut self.scratch);
            }
            if !self.scratch.is_empty() {
                let cutter = self.strings.get_or_insert_with(Cutter::new);
                cutter.push(&self.scratch, &mut |line, text| into.segment(&place, line, text));
            }
        }
    }
}
