//! The server's parsers: fed whole, byte by byte, cut short and with garbage.

mod drive;

use drive::{v0, v2};
use proptest::prelude::*;
use proto::ObjectId;
use proto::pktline;
use proto::sideband::Width;
use proto::upload_pack::{Deepen, Fetch, V0Event, V2Event, WantRef};

fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::encode(&mut out, text.as_ref());
    out
}

fn id(digit: u8) -> String {
    String::from_utf8(vec![digit; 40]).expect("a digit is text")
}

fn oid(digit: u8) -> ObjectId {
    ObjectId::from_hex(id(digit).as_bytes()).expect("forty digits are an id")
}

/// A fetch of v2 with every argument there is.
fn whole_v2() -> Vec<u8> {
    let mut request = [line("command=fetch\n"), line("agent=git/2.47\n")].concat();
    request.extend(line("object-format=sha1"));
    request.extend(line("server-option=x=y"));
    request.extend(b"0001");
    for argument in [
        "thin-pack\n",
        "no-progress",
        "include-tag",
        "ofs-delta",
        "wait-for-done",
        "sideband-all",
        "want-ref refs/heads/main",
        "deepen-relative",
        "deepen 3",
        "filter blob:none",
        "done\n",
    ] {
        request.extend(line(argument));
    }
    request.extend(line(format!("want-ref {}", id(b'4'))));
    for text in ["want", "have", "shallow", "want"] {
        request.extend(line(format!("{text} {}\n", id(b'1'))));
    }
    request.extend(b"0000");
    request.extend(line("command=ls-refs\n"));
    request.extend(b"0001");
    request.extend([line("peel"), line("ref-prefix HEAD\n")].concat());
    request.extend(b"0000");
    request.extend(line("command=object-info"));
    request.extend(b"0001");
    request.extend([line("size"), line(format!("oid {}", id(b'2')))].concat());
    request.extend(b"00000000");
    request
}

/// A fetch of v0 with two rounds of haves.
fn whole_v0() -> Vec<u8> {
    let caps = "multi_ack_detailed no-done side-band-64k thin-pack ofs-delta filter agent=git/2.47";
    let mut request = line(format!("want {} {caps}\n", id(b'1')));
    request.extend(line(format!("want {}\n", id(b'2'))));
    request.extend(line(format!("shallow {}", id(b'3'))));
    request.extend(line("deepen 2\n"));
    request.extend(line("filter tree:1"));
    request.extend(b"0000");
    for digit in *b"2345" {
        request.extend(line(format!("have {}\n", id(digit))));
    }
    request.extend(b"0000");
    request.extend(line(format!("have {}\n", id(b'6'))));
    request.extend(line("done\n"));
    request
}

#[test]
fn v2_reads_every_argument() {
    let (events, ended) = v2(&whole_v2(), 1);
    assert_eq!(ended, None);
    let [V2Event::Fetch(fetch), V2Event::LsRefs(ls_refs), V2Event::ObjectInfo(info)] = &events[..]
    else {
        panic!("{events:?}");
    };
    let expected = Fetch {
        wants: vec![oid(b'1')],
        want_refs: vec![
            WantRef::Name(proto::RefName::parse(b"refs/heads/main").unwrap()),
            WantRef::Id(oid(b'4')),
        ],
        haves: vec![oid(b'1')],
        shallow: vec![oid(b'1')],
        deepen: Some(Deepen::Relative(3)),
        filter: Some("blob:none".into()),
        sideband: Some(Width::Large),
        thin_pack: true,
        ofs_delta: true,
        include_tag: true,
        no_progress: true,
        done: true,
        wait_for_done: true,
        sideband_all: true,
    };
    assert_eq!(**fetch, expected);
    assert!(ls_refs.peel && !ls_refs.symrefs && ls_refs.matches(b"HEAD"));
    assert!(info.size && info.ids == [oid(b'2')]);
}

#[test]
fn v0_reads_needs_then_haves() {
    let (events, answer, ended) = v0(&whole_v0(), 1, false);
    assert_eq!(ended, None);
    let V0Event::Needs(fetch) = &events[0] else { panic!("{events:?}") };
    assert_eq!(fetch.wants, [oid(b'1'), oid(b'2')]);
    assert_eq!(fetch.deepen, Some(Deepen::Depth(2)));
    assert_eq!(fetch.filter.as_ref().unwrap(), "tree:1");
    assert!(fetch.thin_pack && fetch.ofs_delta && !fetch.include_tag);
    let told = String::from_utf8(answer).unwrap();
    assert!(told.contains(&format!("ACK {} common\n", id(b'2'))), "{told}");
    assert_eq!(events.last(), Some(&V0Event::Pack));
}

#[test]
fn every_cut_ends_and_none_hangs() {
    for (whole, v) in [(whole_v0(), 0), (whole_v2(), 2)] {
        for end in 0..whole.len() {
            match v {
                0 => drive::upload_v0(&whole[..end]),
                _ => drive::upload_v2(&whole[..end]),
            }
        }
    }
}

#[test]
fn floods_meet_a_named_limit() {
    let mut haves = [line("command=fetch"), b"0001".to_vec()].concat();
    let mut needs = [line(format!("want {}", id(b'1'))), b"0000".to_vec()].concat();
    for _ in 0..100 {
        haves.extend(line(format!("have {}\n", id(b'3'))));
        needs.extend(line(format!("have {}\n", id(b'3'))));
    }
    let limit = Some("more than 64 haves in one request (limits.haves)".to_owned());
    assert_eq!(v2(&haves, haves.len()).1, limit);
    assert_eq!(v0(&needs, needs.len(), false).2, limit);
    let capabilities = line("agent=x").repeat(300);
    assert_eq!(
        v2(&capabilities, 1000).1,
        Some("more than 256 capability lines in one request".to_owned())
    );
}

/// A name below `fuzz/corpus`, and what a fuzzer does with each of its files.
type Target = (&'static str, fn(&[u8]));

#[test]
fn the_corpus_passes() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let targets: [Target; 5] = [
        ("request_line", drive::request_line),
        ("ssh_command", drive::ssh_command),
        ("http_target", drive::http_target),
        ("upload_v0", drive::upload_v0),
        ("upload_v2", drive::upload_v2),
    ];
    for (name, target) in targets {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}

/// Packets of the protocol's own words and of none, so that a walk gets past the first line.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "command=fetch",
        "command=ls-refs",
        "command=object-info",
        "agent=x",
        "want ",
        "have ",
        "shallow ",
        "deepen 1",
        "deepen-since 5",
        "deepen-not a",
        "done",
        "done\n",
        "filter x",
        "peel",
        "ref-prefix a",
        "oid ",
        "size",
        "thin-pack",
        "sideband-all",
        "want-ref HEAD",
    ]);
    let packet = (words, prop::bool::ANY, any::<u8>(), 0..20_u8).prop_map(
        |(word, whole, digit, special)| match special {
            0 => b"0000".to_vec(),
            1 => b"0001".to_vec(),
            2 => b"0002".to_vec(),
            3 => vec![digit; 3],
            _ if word.ends_with(' ') && whole => {
                line(format!("{word}{}", id(b"0123456789abcdef"[usize::from(digit % 16)])))
            }
            _ => line(word),
        },
    );
    prop::collection::vec(packet, 0..40).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn any_cut_of_any_conversation_reads_the_same(input in packets()) {
        drive::upload_v0(&input);
        drive::upload_v2(&input);
    }

    #[test]
    fn garbage_is_survived(input in prop::collection::vec(any::<u8>(), 0..200)) {
        drive::request_line(&input);
        drive::ssh_command(&input);
        drive::http_target(&input);
        drive::upload_v0(&input);
        drive::upload_v2(&input);
    }
}
