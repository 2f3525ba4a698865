//! Files that git reads for its own use.

use gate_store::Kind;

use super::{Bench, id};
use crate::forge::TREE;

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
