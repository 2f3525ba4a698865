//! Commits and tags.

use gate_store::Kind;

use super::{Bench, TAG, base, id};
use crate::forge::COMMIT;

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
