//! What a fuzzer does with each parser of a server; the corpus is replayed by `main.rs`, too.
#![allow(dead_code, unreachable_pub, reason = "each fuzz target uses one of these")]

use proto::request::{decode_line, parse_command, parse_target};
use proto::upload_pack::{Have, Limits, V0, V0Event, V2, V2Event};
use proto::{ObjectFormat, Service};

pub const LIMITS: Limits = Limits { wants: 64, haves: 64 };

pub fn request_line(input: &[u8]) {
    if let Ok(Some((request, used))) = decode_line(input) {
        assert!(used <= input.len() && !request.path.is_empty());
    }
}

pub fn ssh_command(input: &[u8]) {
    if let Ok((service, path)) = parse_command(input) {
        assert!(!path.is_empty() && Service::parse(service.as_str().as_bytes()).is_some());
    }
}

pub fn http_target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, q)| (path, Some(q)));
    parse_target(path, query);
}

/// All at once and byte by byte must come to the same.
pub fn upload_v0(input: &[u8]) {
    for stateless in [false, true] {
        let whole = v0(input, input.len().max(1), stateless);
        assert_eq!(whole, v0(input, 1, stateless), "cut into bytes, it reads otherwise");
    }
}

pub fn upload_v2(input: &[u8]) {
    assert_eq!(v2(input, input.len().max(1)), v2(input, 1), "cut into bytes, it reads otherwise");
}

/// What a conversation came to: its events, what was answered, and how it ended.
pub fn v0(input: &[u8], piece: usize, stateless: bool) -> (Vec<V0Event>, Vec<u8>, Option<String>) {
    let mut machine = V0::new(ObjectFormat::Sha1, LIMITS, stateless);
    let (mut events, mut out, mut news) = (Vec::new(), Vec::new(), 0);
    let mut pieces = input.chunks(piece);
    loop {
        let event = match machine.poll_event() {
            Ok(event) => event,
            Err(error) => {
                // what was acknowledged before stands
                out.extend(machine.take_output());
                return (events, out, Some(error.to_string()));
            }
        };
        out.extend(machine.take_output());
        match event {
            None => match pieces.next() {
                Some(piece) => machine.handle_input(piece),
                None => machine.handle_end(),
            },
            Some(V0Event::End | V0Event::Pack) => {
                events.extend(event);
                return (events, out, None);
            }
            Some(V0Event::Have(id)) => {
                // half of all objects are common, and three of those suffice
                let common = id.as_bytes()[0] % 2 == 0;
                news += usize::from(common);
                let have = Have { common, news };
                let ready = || Ok::<_, ()>(news >= 3);
                machine.answer_have(&id, have, ready).expect("it cannot fail");
                events.push(V0Event::Have(id));
            }
            Some(V0Event::Round) => {
                events.push(V0Event::Round);
                let next = machine.answer_round(|| Ok::<_, ()>(news >= 3)).expect("it cannot fail");
                out.extend(machine.take_output());
                if next.is_some() {
                    events.extend(next);
                    return (events, out, None);
                }
            }
            Some(event @ V0Event::Needs(_)) => events.push(event),
        }
    }
}

pub fn v2(input: &[u8], piece: usize) -> (Vec<V2Event>, Option<String>) {
    let mut machine = V2::new(ObjectFormat::Sha1, LIMITS);
    let mut events = Vec::new();
    let mut pieces = input.chunks(piece);
    loop {
        match machine.poll_event() {
            Ok(Some(V2Event::End)) => return (events, None),
            Ok(Some(event)) => events.push(event),
            Ok(None) => match pieces.next() {
                Some(piece) => machine.handle_input(piece),
                None => machine.handle_end(),
            },
            Err(error) => return (events, Some(error.to_string())),
        }
    }
}
