//! What git's receive-pack refuses as malformed we refuse, and what it takes we take: `git index-pack --strict`, which it
//! runs under `transfer.fsckObjects`, is asked about every object here.

mod files;
mod headers;

use gate_store::{Check, IndexError, Interrupt, Kind, hash_object};
use proto::{ObjectFormat, ObjectId};

use crate::forge::{BLOB, COMMIT, Forge, TREE};
use crate::gate::{Gate, LIMITS};
use crate::support::{Repo, git_output};

const TAG: u8 = 4;
const SHA1: ObjectFormat = ObjectFormat::Sha1;

/// Both judges, kept over many cases.
struct Bench {
    gate: Gate,
    repo: Repo,
    asked: usize,
    wrong: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self { gate: Gate::empty(SHA1), repo: Repo::init(SHA1), asked: 0, wrong: Vec::new() }
    }

    /// Asks both about an object in a pack that holds all it could refer to.
    fn ask(&mut self, what: &str, kind: u8, content: &[u8], blobs: &[&[u8]]) {
        self.asked += 1;
        let mut pack = Forge::new(SHA1);
        pack.object(kind, content);
        let base = base();
        for (kind, bytes) in [(TREE, &b""[..]), (BLOB, b""), (COMMIT, base.as_bytes())] {
            // no object may be in the pack twice
            if bytes != content {
                pack.object(kind, bytes);
            }
        }
        for blob in blobs.iter().filter(|blob| !blob.is_empty()) {
            pack.object(BLOB, blob);
        }
        let pack = pack.finish();
        let out = git_output(self.repo.path(), &["index-pack", "--strict", "--stdin"], &pack);
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        let kind_named = match kind {
            COMMIT => Kind::Commit,
            TREE => Kind::Tree,
            _ => Kind::Tag,
        };
        let tip = id(kind_named, content);
        let ours = match self.gate.index(&mut &pack[..], &LIMITS, Check::Push) {
            Ok((quarantine, _)) => {
                let connected = quarantine.connect(&[tip], &[], Check::Push, &Interrupt::default());
                connected.map(drop).map_err(|error| error.to_string())
            }
            Err(IndexError::Fsck { error, .. }) => Err(error.rule.to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let verdict = ours.as_ref().err().map_or("taken", |why| why.as_str());
        // git names the rule in `object <id>: <rule>: …`, but not for what it can't even parse
        let rule = words.lines().find_map(|line| line.split(": ").nth(2)).unwrap_or_default();
        let is_named = !rule.is_empty() && rule.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let agree = out.status.success() == ours.is_ok()
            && (ours.is_ok() || !is_named || words.contains(&format!(": {verdict}: ")));
        if !agree {
            self.wrong.push(format!("{what}: ours {verdict}, git {}", words.trim()));
        }
    }

    #[track_caller]
    fn end(self, at_least: usize) {
        assert!(self.asked >= at_least, "{} cases", self.asked);
        assert!(
            self.wrong.is_empty(),
            "{}\n{} of {}",
            self.wrong.join("\n"),
            self.wrong.len(),
            self.asked
        );
    }
}

fn id(kind: Kind, bytes: &[u8]) -> ObjectId {
    hash_object(SHA1, kind, bytes).expect("no attack")
}

fn base() -> String {
    let tree = id(Kind::Tree, b"");
    format!("tree {tree}\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 1 +0000\n\nbase\n")
}

fn entry(mode: &str, name: &[u8]) -> Vec<u8> {
    let target = match mode.trim_start_matches('0') {
        "40000" => id(Kind::Tree, b""),
        "160000" => id(Kind::Commit, base().as_bytes()),
        _ => id(Kind::Blob, b""),
    };
    [mode.as_bytes(), b" ", name, b"\0", target.as_bytes()].concat()
}

#[test]
fn names_and_modes_of_tree_entries() {
    let long = vec![b'x'; 4096];
    let names: Vec<&[u8]> = vec![
        b"a",
        b".git",
        b".GIT",
        b".gIt",
        b"git~1",
        b"GIT~1",
        b"git~2",
        b"git~10",
        b".git ",
        b".git.",
        b".git. .",
        b".git..x",
        b".git ~1",
        b".git::$INDEX_ALLOCATION",
        b".git:x",
        b".gitx",
        b".git/",
        b".git\\x",
        b"a\\.git",
        b"a\\.git\\b",
        b"a\\git~1",
        b"\\.git",
        b"a:.git",
        ".g\u{200c}it".as_bytes(),
        "\u{feff}.git".as_bytes(),
        ".git\u{206f}".as_bytes(),
        ".g\u{2060}it".as_bytes(),
        ".git\u{200d}x".as_bytes(),
        b".gi\xff",
        b".git\xff",
        b".g\xe2\x80it",
        b".gitmodules",
        b".GITMODULES",
        b".gitmodules ",
        b".gitmodules.",
        b".gitmodules:x",
        b".gitmodules2",
        b"gitmod~1",
        b"gitmod~4",
        b"gitmod~5",
        b"gi7eba~1",
        b"gi7eba~9",
        b"gi7eb~10",
        b"gi7e~100",
        b"gi7~1000",
        b"gi7eba~0",
        b"~1000000",
        ".gitmod\u{200d}ules".as_bytes(),
        b"x\\.gitmodules",
        b".gitattributes",
        b"gitatt~1",
        b"gi7d29~1",
        b".gitignore",
        b"gitign~1",
        b"gi250a~1",
        b".mailmap",
        b"mailma~1",
        b"maba30~1",
        b".",
        b"..",
        b"...",
        b"",
        b"a/b",
        b"/",
        b" ",
        b"-x",
        b"\x01",
        b"a\nb",
        b"con",
        b"a ",
        &long,
    ];
    let mut bench = Bench::new();
    for name in names {
        for mode in ["100644", "120000", "40000", "160000"] {
            let what = format!("{mode} {}", name.escape_ascii());
            bench.ask(&what, TREE, &entry(mode, name), &[]);
        }
    }
    for mode in [
        "100755", "100664", "100600", "100000", "100666", "100777", "0100644", "00100644",
        "040000", "0120000", "140000", "10000", "20000", "60000", "0", "7", "777", "777777",
        "170000", "1006440", "", "9", "abc", "+100644", " 100644",
    ] {
        bench.ask(&format!("mode {mode}"), TREE, &entry(mode, b"a"), &[]);
    }
    bench.end(290);
}

#[test]
fn the_order_of_tree_entries() {
    let mut bench = Bench::new();
    let some: Vec<(&str, &str)> = ["a", "a-", "a.b", "a.c", "a0", "b"]
        .into_iter()
        .flat_map(|name| [("100644", name), ("40000", name)])
        .collect();
    let tree = |entries: &[(&str, &str)]| {
        entries.iter().flat_map(|(mode, name)| entry(mode, name.as_bytes())).collect::<Vec<_>>()
    };
    for first in &some {
        for second in &some {
            bench.ask(&format!("{first:?} {second:?}"), TREE, &tree(&[*first, *second]), &[]);
        }
    }
    for middle in [&["a-"][..], &["a.b"], &["a-", "a.b"], &["a.b", "a.b.c"], &["a-", "a-b", "a.b"]]
    {
        for kind in ["100644", "40000"] {
            let mut entries = vec![("100644", "a")];
            entries.extend(middle.iter().map(|name| (kind, *name)));
            entries.push(("40000", "a"));
            bench.ask(&format!("{entries:?}"), TREE, &tree(&entries), &[]);
        }
    }
    bench.end(150);
}

#[test]
fn trees_that_are_cut_or_name_nothing() {
    let mut bench = Bench::new();
    let whole = [entry("100644", b"a"), entry("40000", b"b")].concat();
    for cut in 1..whole.len() {
        bench.ask(&format!("cut at {cut}"), TREE, &whole[..cut], &[]);
    }
    bench.ask("the null id", TREE, &[&b"160000 a\0"[..], &[0; 20]].concat(), &[]);
    bench.end(50);
}

/// Where we refuse and the git at hand does not: newer ones do, and a byte order mark is read as git reads the file.
#[test]
fn what_only_newer_gits_refuse() {
    let gate = Gate::empty(SHA1);
    let rule = |objects: &[(u8, &[u8])]| {
        let mut pack = Forge::new(SHA1);
        for (kind, content) in objects {
            pack.object(*kind, content);
        }
        match gate.index(&mut &pack.finish()[..], &LIMITS, Check::Push) {
            Err(IndexError::Fsck { error, .. }) => error.rule,
            _ => "taken",
        }
    };
    assert_eq!(rule(&[(TREE, &entry("100644", &[b'x'; 4097])), (BLOB, b"")]), "largePathname");
    let text = "\u{feff}[submodule \"a\"]\nurl = -x\n".as_bytes();
    let tree = [&b"100644 .gitmodules\0"[..], id(Kind::Blob, text).as_bytes()].concat();
    assert_eq!(rule(&[(TREE, &tree), (BLOB, text)]), "gitmodulesUrl");
}
