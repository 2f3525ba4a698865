//! What git's receive-pack refuses as malformed we refuse, and what it takes we take: `git index-pack --strict`, which it
//! runs under `transfer.fsckObjects`, is asked about every object here.

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

#[test]
fn headers_of_commits() {
    let (tree, parent) = (id(Kind::Tree, b""), id(Kind::Commit, base().as_bytes()));
    let who = "A <a@x> 1 +0000";
    let mut bench = Bench::new();
    let idents = [
        "A <a@x> 1 +0000",
        "A <> 1 +0000",
        " <a@x> 1 +0000",
        "<a@x> 1 +0000",
        "A<a@x> 1 +0000",
        "A  <a@x> 1 +0000",
        "A a@x 1 +0000",
        "A <a@x 1 +0000",
        "A a@x> 1 +0000",
        "A <a<@x> 1 +0000",
        "A> <a@x> 1 +0000",
        "A <a@x>> 1 +0000",
        "A <a@x>1 +0000",
        "A <a@x>  1 +0000",
        "A <a@x>\t1 +0000",
        "A <a@x> 1  +0000",
        "A <a@x> 1\t+0000",
        "A <a@x> 0 +0000",
        "A <a@x> 00 +0000",
        "A <a@x> 01 +0000",
        "A <a@x> -1 +0000",
        "A <a@x> +1 +0000",
        "A <a@x> 1 0000",
        "A <a@x> 1 +000",
        "A <a@x> 1 +00000",
        "A <a@x> 1 -0000",
        "A <a@x> 1 +9999",
        "A <a@x> 1 +00:0",
        "A <a@x> 1 UTC",
        "A <a@x> 1",
        "A <a@x> 1 ",
        "A <a@x>",
        "A <a@x> ",
        "A <a@x> 1 +0000 ",
        "A <a@x> 1 +0000 x",
        "A <a@x> 1x +0000",
        "A <a@x> x1 +0000",
        "A <a@x> 1.5 +0000",
        "",
        " ",
        "A",
        "A <a@x> 9223372036854775807 +0000",
        "A <a@x> 9223372036854775808 +0000",
        "A <a@x> 18446744073709551615 +0000",
        "A <a@x> 18446744073709551616 +0000",
        "A <a@x> 4294967296 +0000",
        "\u{e9} <\u{e9}@x> 1 +0000",
        "A\r <a@x> 1 +0000",
    ];
    for ident in idents {
        let author = format!("tree {tree}\nauthor {ident}\ncommitter {who}\n\nm\n");
        bench.ask(&format!("author {ident:?}"), COMMIT, author.as_bytes(), &[]);
        let committer = format!("tree {tree}\nauthor {who}\ncommitter {ident}\n\nm\n");
        bench.ask(&format!("committer {ident:?}"), COMMIT, committer.as_bytes(), &[]);
    }
    let (a, c) = (format!("author {who}\n"), format!("committer {who}\n"));
    let (t, p) = (format!("tree {tree}\n"), format!("parent {parent}\n"));
    for text in [
        format!("{t}{a}{c}\nm\n"),
        format!("{t}{p}{a}{c}\nm\n"),
        format!("{t}{p}{p}{a}{c}\nm\n"),
        format!("{a}{c}\nm\n"),
        format!("{t}{t}{a}{c}\nm\n"),
        format!("{p}{t}{a}{c}\nm\n"),
        format!("{t}{c}\nm\n"),
        format!("{t}{a}\nm\n"),
        format!("{t}{c}{a}\nm\n"),
        format!("{t}{a}{a}{c}\nm\n"),
        format!("{t}{a}{c}{c}\nm\n"),
        format!("{t}{a}{p}{c}\nm\n"),
        format!("{t}{a}{c}"),
        format!("{t}{a}{c}\n"),
        format!("{t}{a}{}", c.trim_end()),
        format!("{t}{a}{c}\nm"),
        format!("{t}{a}{c}x-other v\n\nm\n"),
        format!("{t}{a}{c}encoding\n\nm\n"),
        format!("{t}{a}{c}gpgsig -----BEGIN\n more\n\nm\n"),
        format!("{t}{a}{c}\nm\0m\n"),
        format!("{t}{a}{c}x \0\n\nm\n"),
        format!("{t}{a}\0{c}\nm\n"),
        format!("tree {}\n{a}{c}\nm\n", "x".repeat(40)),
        format!("tree {}\n{a}{c}\nm\n", "1".repeat(39)),
        format!("tree {tree}0\n{a}{c}\nm\n"),
        format!("tree {}\n{a}{c}\nm\n", tree.to_hex().to_uppercase()),
        format!("tree  {tree}\n{a}{c}\nm\n"),
        format!("Tree {tree}\n{a}{c}\nm\n"),
        format!("{t}parent {}\n{a}{c}\nm\n", "x".repeat(40)),
        format!("{t}parent\n{a}{c}\nm\n"),
        format!("{t}parent \n{a}{c}\nm\n"),
        format!("{t}\n{a}{c}\nm\n"),
        format!("{t}{a}{c}mergetag object {tree}\n type tree\n\nm\n"),
        format!("\n{t}{a}{c}\nm\n"),
        String::from("\n"),
        String::from("x"),
        String::from("\0"),
        t.clone(),
        t.trim_end().to_owned(),
    ] {
        bench.ask(&format!("{text:?}"), COMMIT, text.as_bytes(), &[]);
    }
    bench.end(120);
}

#[test]
fn headers_of_tags() {
    let object = id(Kind::Commit, base().as_bytes());
    let mut bench = Bench::new();
    let (o, t, n) = (format!("object {object}\n"), "type commit\n", "tag v1\n");
    let g = "tagger A <a@x> 1 +0000\n";
    for text in [
        format!("{o}{t}{n}{g}\nm\n"),
        format!("{o}{t}{n}\nm\n"),
        format!("{o}{t}{n}{g}"),
        format!("{o}{t}{n}{g}\n"),
        format!("{o}{t}{n}"),
        format!("{t}{n}{g}\nm\n"),
        format!("{o}{n}{g}\nm\n"),
        format!("{o}{t}{g}\nm\n"),
        format!("{t}{o}{n}{g}\nm\n"),
        format!("{o}{n}{t}{g}\nm\n"),
        format!("{o}type trie\n{n}{g}\nm\n"),
        format!("{o}type\n{n}{g}\nm\n"),
        format!("{o}type \n{n}{g}\nm\n"),
        format!("{o}type tree\n{n}{g}\nm\n"),
        format!("{o}type commit \n{n}{g}\nm\n"),
        format!("object {}\n{t}{n}{g}\nm\n", "x".repeat(40)),
        format!("object {object}0\n{t}{n}{g}\nm\n"),
        format!("object\n{t}{n}{g}\nm\n"),
        format!("{o}{t}tag \n{g}\nm\n"),
        format!("{o}{t}tag\n{g}\nm\n"),
        format!("{o}{t}tag a..b\n{g}\nm\n"),
        format!("{o}{t}tag -x\n{g}\nm\n"),
        format!("{o}{t}tag a b\n{g}\nm\n"),
        format!("{o}{t}tag a.lock\n{g}\nm\n"),
        format!("{o}{t}{n}tagger A\n\nm\n"),
        format!("{o}{t}{n}tagger <a@x> 1 +0000\n\nm\n"),
        format!("{o}{t}{n}tagger A <a@x> 1 +000\n\nm\n"),
        format!("{o}{t}{n}tagger A <a@x> 01 +0000\n\nm\n"),
        format!("{o}{t}{n}{g}x-other v\n\nm\n"),
        format!("{o}{t}{n}x-other v\n{g}\nm\n"),
        format!("{o}{t}{n}{g}gpgsig x\n\nm\n"),
        format!("{o}{t}{n}{g}\nm\0m\n"),
        format!("{o}{t}{n}tagger A\0 <a@x> 1 +0000\n\nm\n"),
        format!("{o}{o}{t}{n}{g}\nm\n"),
        format!("{o}{t}{t}{n}{g}\nm\n"),
        format!("\n{o}{t}{n}{g}\nm\n"),
        String::new(),
        String::from("\n"),
        o.clone(),
        format!("{o}{t}"),
        format!("{o}{t}tag v1"),
    ] {
        bench.ask(&format!("{text:?}"), TAG, text.as_bytes(), &[]);
    }
    bench.end(40);
}

#[test]
fn what_git_reads_of_a_tree_for_itself() {
    let mut bench = Bench::new();
    let mut file = |name: &str, mode: &str, text: &[u8]| {
        let blob = id(Kind::Blob, text);
        let tree = [format!("{mode} {name}\0").as_bytes(), blob.as_bytes()].concat();
        let what = format!("{mode} {name}: {}", text[..text.len().min(99)].escape_ascii());
        bench.ask(&what, TREE, &tree, &[text]);
    };
    for url in [
        "https://h/x",
        "http://h/x",
        "ssh://h/x",
        "git://h/x",
        "file:///x",
        "h:x",
        "u@h:x",
        "../x",
        "./x",
        "../../x",
        "/x",
        "-x",
        "--upload-pack=x",
        "ssh://-h/x",
        "-h:x",
        "https://h/%0ax",
        "https://h/%0Ax",
        "https://h%0a/x",
        "https:///x",
        "http://",
        "https://:x",
        "http:h",
        "https::x",
        "http::-x",
        "ext::sh",
        "../../../../:x",
        "../:x",
        "./%0ahost=x",
        ".\\x",
        "..\\x",
        "http://u:p@h/x",
        "ftp://h/x",
        "ftps:///x",
        "./..:x",
        ".//..//:x",
        "./x\\ny",
    ] {
        file(
            ".gitmodules",
            "100644",
            format!("[submodule \"a\"]\n\tpath = a\n\turl = {url}\n").as_bytes(),
        );
        file(".gitmodules", "100755", format!("[submodule \"a\"]\n\turl = \"{url}\"\n").as_bytes());
    }
    for text in [
        "[submodule \"../a\"]\npath = x\n",
        "[submodule \"a/..\"]\npath = x\n",
        "[submodule \"a/../b\"]\nurl = ./x\n",
        "[submodule \"..a\"]\nurl = ./x\n",
        "[submodule \"a\\\\..\\\\b\"]\nurl = ./x\n",
        "[submodule \"\"]\nurl = ./x\n",
        "[submodule]\nurl = -x\n",
        "[submodule \"a\"]\npath = -x\n",
        "[submodule \"a\"]\npath = ../x\n",
        "[submodule \"a\"]\nupdate = !sh\n",
        "[submodule \"a\"]\nupdate = none\n",
        "[submodule \"a\"]\nupdate = !\n",
        "[submodule \"a\"]\nupdate = checkout\n",
        "[submodule \"a\"]\nURL = -x\n",
        "[SubModule \"a\"]\nurl = -x\n",
        "[other \"a\"]\nurl = -x\n",
        "[submodule \"a\"]\nurl = \\\n-x\n",
        "[submodule \"a\"]\nurl = -x ; c\n",
        "[submodule \"a\"]\n; url = -x\n",
        "[submodule \"a\"] url = -x\n",
        "[submodule.a]\nurl = -x\n",
        "[submodule \"a\"]\nurl\n",
        "[submodule \"a\"\nurl = -x\n",
        "not config\n",
        "[submodule \"a\"]\nurl = \"-x\n",
        "",
        "[submodule \"a\"]\r\nurl = -x\r\n",
        "[submodule \"a\"]\nurl = ./x\n[submodule \"b\"]\nurl = -x\n",
        "[include]\npath = x\n",
        "[submodule \"a\"]\nurl = -x\0\n",
    ] {
        file(".gitmodules", "100644", text.as_bytes());
    }
    let line = |length: usize| vec![b'x'; length];
    for text in [
        b"* -diff\n".to_vec(),
        line(2047),
        line(2048),
        line(2049),
        [&line(3000)[..], b"\n"].concat(),
        [b"a\n", &line(2050)[..]].concat(),
    ] {
        file(".gitattributes", "100644", &text);
        file("GITATT~1", "100644", &text);
        file("attributes", "100644", &text);
    }
    for name in [".gitmodules", ".gitattributes", ".gitignore", ".mailmap"] {
        file(name, "120000", b"elsewhere");
    }
    bench.end(120);
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
