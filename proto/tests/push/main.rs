//! The parsers of a push, and the framing below all of them: every cut, garbage, floods, and the fuzzers' corpora.

mod drive;

use proptest::prelude::*;

fn line(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    proto::pktline::encode(&mut out, text.as_bytes());
    out
}

fn update(name: &str) -> String {
    format!("{} {} {name}", "0".repeat(40), "1".repeat(40))
}

fn whole_push() -> Vec<u8> {
    let first = format!("{}\0 report-status-v2 side-band-64k push-options", update("refs/heads/a"));
    [
        line(&first),
        line(&update("refs/tags/b")),
        b"0000".to_vec(),
        line("ci.skip"),
        line(""),
        b"0000".to_vec(),
        b"PACK".to_vec(),
    ]
    .concat()
}

#[test]
fn hands_back_the_pack_wherever_the_stream_is_cut() {
    let whole = whole_push();
    for piece in 1..whole.len() {
        let (events, rest, error) = drive::commands(&whole, piece);
        let [proto::receive_pack::Event::Request(request)] = &events[..] else {
            panic!("{piece}: {events:?} {error:?}")
        };
        assert_eq!((request.commands.len(), request.options.len()), (2, 2), "{piece}");
        assert_eq!(rest, b"PACK", "{piece}");
    }
}

#[test]
fn every_cut_ends_and_none_hangs() {
    let whole = whole_push();
    for end in 0..whole.len() {
        drive::receive_commands(&whole[..end]);
        drive::send_advertisement(&whole[..end]);
        drive::send_report(&whole[..end]);
    }
}

#[test]
fn floods_meet_a_limit() {
    let first = line(&format!("{}\0 report-status", update("refs/heads/a")));
    let flood = [first.clone(), line(&update("refs/heads/b")).repeat(100)].concat();
    assert_eq!(
        drive::commands(&flood, flood.len()).2.as_deref(),
        Some("more than 16 commands in one push (limits.commands)")
    );
    let shallow = line(&format!("shallow {}", "1".repeat(40))).repeat(100);
    assert_eq!(
        drive::commands(&shallow, shallow.len()).2.as_deref(),
        Some("more than 16 shallow lines in one push")
    );
}

/// A name below `fuzz/corpus`, and what a fuzzer does with each of its files.
type Target = (&'static str, fn(&[u8]));

#[test]
fn the_corpus_passes() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let targets: [Target; 5] = [
        ("packets", drive::packets),
        ("receive_commands", drive::receive_commands),
        ("send_advertisement", drive::send_advertisement),
        ("send_report", drive::send_report),
        ("ref_name", drive::ref_name),
    ];
    for (name, target) in targets {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}

/// Words of the protocol and none, framed and not, so that a walk gets past the first line.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "unpack ok\n",
        "ok refs/heads/a\n",
        "ng refs/heads/a no\n",
        "option refname refs/x\n",
        "version 1\n",
        "# service=git-receive-pack\n",
        "\u{1}0000",
        "\u{2}words",
        "\u{3}no",
        "shallow x",
        "push-cert\0x",
        "",
    ]);
    let piece = prop_oneof![
        words.prop_map(line),
        Just(b"0000".to_vec()),
        Just(b"0001".to_vec()),
        Just(line(&update("refs/heads/a"))),
        Just(line(&format!("{} refs/heads/main\0report-status", "1".repeat(40)))),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_stream_reads_alike_however_it_is_cut(input in streams()) {
        drive::packets(&input);
        drive::receive_commands(&input);
        drive::send_advertisement(&input);
        drive::send_report(&input);
    }
}
