//! What a fuzzer does with the parsers of a push, and with the framing below all of them.
#![allow(dead_code, unreachable_pub, reason = "each fuzz target uses one of these")]

use bstr::BString;
use proto::pktline::{self, Decoder, Packet};
use proto::receive_pack::{self, ReceivePack};
use proto::send_pack::{self, Advertisement, AdvertisementReader, ReportReader};
use proto::{Capabilities, ObjectFormat, RefName};

/// Small, so that a fuzzer can reach each.
const LIMITS: receive_pack::Limits =
    receive_pack::Limits { commands: 16, shallow: 16, push_options: 256 };

/// Every packet is written back as it was read, and one byte at a time says the same.
pub fn packets(input: &[u8]) {
    let (mut at, mut written, mut whole) = (0, Vec::new(), Vec::new());
    let error = loop {
        match pktline::decode(&input[at..]) {
            Ok(Some((packet, used))) => {
                match packet {
                    Packet::Data(data) => pktline::encode(&mut written, data),
                    Packet::Flush => pktline::flush(&mut written),
                    Packet::Delim => pktline::delim(&mut written),
                    Packet::ResponseEnd => written.extend(b"0002"),
                }
                whole.push(packet.text().map(<[u8]>::to_vec));
                at += used;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(written.eq_ignore_ascii_case(&input[..at]), "written otherwise than read");
    let (mut decoder, mut cut) = (Decoder::default(), Vec::new());
    for byte in input {
        decoder.push(&[*byte]);
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => cut.push(packet.text().map(<[u8]>::to_vec)),
                Ok(None) => break,
                Err(failed) => {
                    assert_eq!((Some(failed), &cut), (error, &whole));
                    return;
                }
            }
        }
    }
    assert_eq!((None, cut), (error, whole));
}

pub fn receive_commands(input: &[u8]) {
    let whole = commands(input, input.len().max(1));
    assert_eq!(whole, commands(input, 1), "cut into bytes, it reads otherwise");
}

pub fn send_advertisement(input: &[u8]) {
    let whole = advertisement(input, input.len().max(1));
    assert_eq!(whole, advertisement(input, 1), "cut into bytes, it reads otherwise");
}

pub fn send_report(input: &[u8]) {
    for offered in [&b"report-status-v2 side-band-64k"[..], b"report-status"] {
        let whole = report(input, input.len().max(1), offered);
        assert_eq!(whole, report(input, 1, offered), "cut into bytes, it reads otherwise");
    }
}

/// A name that passes is one that git would take: nothing in it can leave its folder or end a line.
pub fn ref_name(input: &[u8]) {
    if let Ok(name) = RefName::parse(input) {
        let bad = |b: &u8| *b < 0x20 || *b == 0x7f || *b == b' ';
        assert!(!name.as_bytes().iter().any(bad));
        assert!(!name.as_bytes().split(|b| *b == b'/').any(|part| part.starts_with(b".")));
    }
}

/// The events, what was left for the pack, and how it ended.
pub fn commands(input: &[u8], piece: usize) -> (Vec<receive_pack::Event>, Vec<u8>, Option<String>) {
    let mut machine = ReceivePack::new(ObjectFormat::Sha1, LIMITS);
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        if !events.is_empty() {
            rest.extend_from_slice(piece);
            continue;
        }
        machine.handle_input(piece);
        match machine.poll_event() {
            Ok(Some(event)) => {
                events.push(event);
                rest = machine.take_rest();
            }
            Ok(None) => {}
            Err(error) => return (events, rest, Some(error.to_string())),
        }
    }
    (events, rest, None)
}

pub fn advertisement(input: &[u8], piece: usize) -> (Option<Advertisement>, Option<String>) {
    let mut machine =
        AdvertisementReader::new(ObjectFormat::Sha1, vec![BString::from("refs/heads/main")]);
    for piece in input.chunks(piece) {
        machine.handle_input(piece);
        match machine.poll_event() {
            Ok(Some(read)) => return (Some(read), None),
            Ok(None) => {}
            Err(error) => return (None, Some(error.to_string())),
        }
    }
    (None, None)
}

pub fn report(
    input: &[u8],
    piece: usize,
    offered: &[u8],
) -> (Vec<send_pack::Event>, Option<String>) {
    let mut machine = ReportReader::new(&Capabilities::parse(offered));
    let mut events = Vec::new();
    for piece in input.chunks(piece) {
        machine.handle_input(piece);
        loop {
            match machine.poll_event() {
                Ok(Some(send_pack::Event::End)) => return (events, None),
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error.to_string())),
            }
        }
    }
    (events, machine.handle_eof().err().map(|error| error.to_string()))
}
