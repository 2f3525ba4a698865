//! v2's `ls-refs` (gitprotocol-v2; git's ls-refs.c): what is asked, and the lines of the answer.

use bstr::BString;

use super::error::Error;
use crate::{MAX_REF_NAME, ObjectId, RefName, pktline};

/// Which refs to list, and what to say of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LsRefs {
    pub peel: bool,
    pub symrefs: bool,
    /// Tell where `HEAD` points even if there is no such branch yet.
    pub unborn: bool,
    prefixes: Prefixes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefixes {
    /// The client gave none, or more than are worth keeping: it gets every ref and picks for itself.
    All,
    Some {
        list: Vec<BString>,
        bytes: usize,
    },
}

impl Default for Prefixes {
    fn default() -> Self {
        Self::Some { list: Vec::new(), bytes: 0 }
    }
}

/// Longest text of all prefixes together, in bytes; git itself gives up at 65,536 prefixes (`TOO_MANY_PREFIXES`).
const MAX_PREFIXES: usize = 1 << 20;
/// What a kept prefix costs beside its text.
const PREFIX_OVERHEAD: usize = 24;

impl LsRefs {
    pub(super) fn argument(&mut self, line: &[u8]) -> Result<(), Error> {
        match line {
            b"peel" => self.peel = true,
            b"symrefs" => self.symrefs = true,
            b"unborn" => self.unborn = true,
            _ => {
                let prefix = line
                    .strip_prefix(b"ref-prefix ")
                    .ok_or_else(|| Error::line("an argument of ls-refs", line))?;
                self.add_prefix(prefix);
            }
        }
        Ok(())
    }

    fn add_prefix(&mut self, prefix: &[u8]) {
        let Prefixes::Some { list, bytes } = &mut self.prefixes else { return };
        // no ref name is longer, but that there was a prefix must not be forgotten
        let prefix = &prefix[..prefix.len().min(MAX_REF_NAME + 1)];
        *bytes += prefix.len() + PREFIX_OVERHEAD;
        if *bytes > MAX_PREFIXES {
            self.prefixes = Prefixes::All;
        } else {
            list.push(prefix.into());
        }
    }

    /// Whether the client wants to hear of a ref of this name.
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.prefixes {
            Prefixes::All => true,
            Prefixes::Some { list, .. } => {
                list.is_empty() || list.iter().any(|prefix| name.starts_with(prefix))
            }
        }
    }

    /// The prefixes that the answer may be narrowed to; `None` when every ref matches.
    pub fn prefixes(&self) -> Option<&[BString]> {
        match &self.prefixes {
            Prefixes::Some { list, .. } if !list.is_empty() => Some(list),
            Prefixes::Some { .. } | Prefixes::All => None,
        }
    }

    /// Appends the line of one ref. `symref` is what it points to as a symref.
    pub fn line(
        &self,
        out: &mut Vec<u8>,
        name: &[u8],
        target: &ObjectId,
        symref: Option<&RefName>,
        peeled: Option<&ObjectId>,
    ) {
        pktline::encode_with(out, |out| {
            target.append_hex(out);
            out.push(b' ');
            out.extend_from_slice(name);
            if let Some(symref) = symref.filter(|_| self.symrefs) {
                out.extend_from_slice(b" symref-target:");
                out.extend_from_slice(symref.as_bytes());
            }
            if let Some(peeled) = peeled.filter(|_| self.peel) {
                out.extend_from_slice(b" peeled:");
                peeled.append_hex(out);
            }
            out.push(b'\n');
        });
    }

    /// Appends the line of a `HEAD` whose branch does not exist, if the client can read it.
    pub fn unborn_head(&self, out: &mut Vec<u8>, branch: &RefName) {
        if self.unborn && self.symrefs && self.matches(b"HEAD") {
            pktline::encode_parts(out, &[b"unborn HEAD symref-target:", branch.as_bytes(), b"\n"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> LsRefs {
        let mut request = LsRefs::default();
        for argument in arguments {
            request.argument(argument.as_bytes()).unwrap();
        }
        request
    }

    #[test]
    fn without_a_prefix_every_ref_matches() {
        assert!(request(&[]).matches(b"refs/x"));
        let some = request(&["ref-prefix HEAD", "ref-prefix refs/heads/"]);
        assert!(some.matches(b"HEAD") && some.matches(b"refs/heads/a"));
        assert!(!some.matches(b"refs/tags/a") && !some.matches(b"refs/heads"));
    }

    #[test]
    fn too_many_prefixes_mean_all_refs() {
        let long = format!("ref-prefix refs/{}", "x".repeat(4000));
        let flood = request(&vec![long.as_str(); 300]);
        assert_eq!(flood.prefixes(), None);
        assert!(flood.matches(b"refs/heads/a"));
    }

    #[test]
    fn lines_say_no_more_than_was_asked_for() {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let branch = RefName::parse(b"refs/heads/main").unwrap();
        let line = |request: LsRefs| {
            let mut out = Vec::new();
            request.line(&mut out, b"HEAD", &id, Some(&branch), Some(&id));
            request.unborn_head(&mut out, &branch);
            String::from_utf8(out).unwrap()
        };
        let hex = "1".repeat(40);
        assert_eq!(line(request(&[])), format!("0032{hex} HEAD\n"));
        assert_eq!(
            line(request(&["peel", "symrefs"])),
            format!("0080{hex} HEAD symref-target:refs/heads/main peeled:{hex}\n")
        );
        assert!(
            line(request(&["symrefs", "unborn"]))
                .ends_with("002eunborn HEAD symref-target:refs/heads/main\n")
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(LsRefs::default().argument(b"sort=version").is_err());
    }
}
