//! Writes what `git log -p -U0` would print, had git looked at every new object: what gitleaks reads.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bstr::BString;
use proto::ObjectId;

use super::views::{Place, View};

/// The longest path carried through the scanner for display, in bytes; gitleaks' header reader takes lines of 64 KiB.
const LONGEST_PATH: usize = 32 * 1024;

/// What a segment is a piece of. It travels through gitleaks as the commit's id and author, so that no table is needed to
/// find the object of a finding again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) kind: Kind,
    /// The object whose text it is, or that stands at the path or the ref.
    pub(super) object: Option<ObjectId>,
    /// The commit that brought it.
    pub(super) commit: Option<ObjectId>,
    pub(super) place: Place,
}

/// Which kind of text a finding stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// In a file's content.
    Blob,
    /// In a raw commit: message, identities, extra headers.
    Commit,
    /// In a raw annotated tag.
    Tag,
    /// In the name of a file or directory.
    Path,
    /// In the name of a ref.
    Ref,
    /// In a push option.
    Option,
    /// Ours: shows that the scanner sees.
    Canary,
}

impl Kind {
    /// The name in audit events: `blob`, `commit`, `tag`, `path`, `ref` or `option`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Path => "path",
            Self::Ref => "ref",
            Self::Option => "option",
            Self::Canary => "canary",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        use Kind::{Blob, Canary, Commit, Option as PushOption, Path, Ref, Tag};
        [Blob, Commit, Tag, Path, Ref, PushOption, Canary]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl Label {
    /// The author's name and mail address that carry the label.
    fn encode(&self) -> String {
        let view = match self.place.view {
            View::Plain => "plain",
            View::Utf16 => "utf16",
            View::Strings => "strings",
        };
        let object = self.object.map_or("-".to_owned(), |id| id.to_hex());
        let path = &self.place.path[..self.place.path.len().min(LONGEST_PATH)];
        format!("{}:{view}:{object} <{}>", self.kind.as_str(), URL_SAFE_NO_PAD.encode(path))
    }

    /// The file's name in the patch, quoted: a blob's path, for rules that look at it, else the kind.
    fn file_name(&self) -> String {
        match self.kind {
            Kind::Blob if !self.place.path.is_empty() => quote(&with_whole_names(&self.place.path)),
            kind => kind.as_str().to_owned(),
        }
    }

    /// Reads back what gitleaks reports as `Commit`, `Author` and `Email`.
    pub(super) fn decode(commit: &str, author: &str, email: &str) -> Option<Self> {
        let (kind, rest) = author.split_once(':')?;
        let (view, object) = rest.split_once(':')?;
        Some(Self {
            kind: Kind::parse(kind)?,
            object: match object {
                "-" => None,
                hex => Some(ObjectId::from_hex(hex.as_bytes())?),
            },
            commit: ObjectId::from_hex(commit.as_bytes()).filter(|id| !id.is_null()),
            place: Place {
                path: BString::from(URL_SAFE_NO_PAD.decode(email).ok()?),
                view: match view {
                    "plain" => View::Plain,
                    "utf16" => View::Utf16,
                    "strings" => View::Strings,
                    _ => return None,
                },
            },
        })
    }
}

/// The patch as it is written.
#[derive(Debug)]
pub(super) struct Patch<W: Write> {
    out: BufWriter<W>,
    /// Bytes of text written, which is what gitleaks counts as scanned.
    scanned: u64,
}

impl<W: Write> Patch<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), scanned: 0 }
    }

    /// Writes a segment as a file of its own, added by its commit: a hunk that begins at `line`.
    pub(super) fn segment(&mut self, label: &Label, line: u64, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let path = label.file_name();
        match label.commit {
            Some(commit) => writeln!(self.out, "commit {commit}")?,
            None => writeln!(self.out, "commit {:040}", 0)?,
        }
        let ends = text.ends_with(b"\n");
        let lines = memchr::memchr_iter(b'\n', text).count() + usize::from(!ends);
        write!(
            self.out,
            "Author: {}\n\ndiff --git \"a/{path}\" \"b/{path}\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/{path}\"\n\
             @@ -0,0 +{line},{lines} @@\n",
            label.encode()
        )?;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.out.write_all(b"+")?;
            self.out.write_all(line)?;
        }
        if !ends {
            self.out.write_all(b"\n\\ No newline at end of file\n")?;
        }
        self.scanned += text.len() as u64;
        Ok(())
    }

    /// Flushes, and closes the pipe: the end of the patch.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.scanned)
    }
}

/// The path with something between two slashes and behind a last one: gitleaks drops a file without a name there. In archives
/// there are some; a static library begins with one.
fn with_whole_names(path: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(path.len());
    for (at, byte) in path.iter().enumerate() {
        whole.push(*byte);
        if *byte == b'/' && matches!(path.get(at + 1), None | Some(b'/')) {
            whole.push(b'-');
        }
    }
    whole
}

/// Quotes a path for a patch header as git does, but octal throughout: gitleaks' parser takes `\"` after a backslash for
/// the end of the name, and drops the file.
fn quote(path: &[u8]) -> String {
    let mut quoted = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => {
                quoted.push('\\');
                for shift in [6, 3, 0] {
                    quoted.push(char::from(b'0' + (byte >> shift & 7)));
                }
            }
            _ => quoted.push(char::from(byte)),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(path: &[u8]) -> Label {
        Label {
            kind: Kind::Blob,
            object: ObjectId::from_hex(&[b'a'; 40]),
            commit: ObjectId::from_hex(&[b'c'; 40]),
            place: Place { path: path.into(), view: View::Plain },
        }
    }

    #[test]
    fn a_segment_is_a_new_file_with_one_hunk() {
        let mut out = Vec::new();
        let mut patch = Patch::new(&mut out);
        patch.segment(&label(b"src/a\\"), 7, b"one\ntwo").unwrap();
        assert_eq!(patch.finish().unwrap(), 7);
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        commit cccccccccccccccccccccccccccccccccccccccc
        Author: blob:plain:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa <c3JjL2Fc>

        diff --git "a/src/a\134" "b/src/a\134"
        new file mode 100644
        --- /dev/null
        +++ "b/src/a\134"
        @@ -0,0 +7,2 @@
        +one
        +two
        \ No newline at end of file
        "#);
    }

    #[test]
    fn a_label_comes_back_as_it_went() {
        for path in [&b"src/a.py"[..], b"", b"a\n\"<b> \xff\\", b"outer.zip!inner"] {
            let label = label(path);
            let author = label.encode();
            let (name, email) = author.strip_suffix('>').unwrap().split_once(" <").unwrap();
            assert_eq!(Label::decode(&"c".repeat(40), name, email), Some(label));
        }
    }
}
