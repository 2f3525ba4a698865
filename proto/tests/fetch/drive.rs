//! What a fuzzer does with each parser of an origin's answers; the corpus is replayed by `main.rs`, too.
//!
//! Whatever comes, the machines do not panic, and cutting it into bytes changes nothing of what they tell.
#![allow(dead_code, unreachable_pub, reason = "each fuzz target uses one of these")]

use proto::fetch_pack::{AdvertisementReader, FetchReader, RefsReader};
use proto::{ObjectFormat, Service};

/// The first words of an origin, in any version.
pub(crate) fn advertisement(input: &[u8]) {
    for service in [Service::UploadPack, Service::ReceivePack] {
        let read = |size: usize| {
            let mut reader = AdvertisementReader::new(service);
            input.chunks(size).find_map(|piece| match reader.handle_input(piece) {
                Ok(None) => None,
                // what lies behind the end is seen with it or not, so that only the beginning is compared
                told => Some(told.is_ok()),
            })
        };
        let (whole, single) = (read(input.len().max(1)), read(1));
        assert!(whole == single || (whole, single) == (Some(false), Some(true)));
        // the answer to an early question: how it is cut says nothing of where it begins
        let early = |size: usize| {
            let mut reader = AdvertisementReader::new(service).answer_follows();
            let mut pieces = input.chunks(size);
            let told = pieces.find_map(|piece| match reader.handle_input(piece) {
                Ok(told) => told.map(Some),
                Err(_) => Some(None),
            })??;
            let behind: Vec<u8> = pieces.flatten().copied().collect();
            Some((told, [reader.take_rest(), behind].concat()))
        };
        assert_eq!(early(input.len().max(1)), early(1));
    }
}

/// The answer to `ls-refs`.
pub(crate) fn ls_refs_answer(input: &[u8]) {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let read = |size: usize| {
            let (mut reader, mut told) = (RefsReader::new(format), Vec::new());
            'input: for piece in input.chunks(size) {
                if reader.handle_input(piece).is_err() {
                    break;
                }
                loop {
                    match reader.poll_event() {
                        Ok(Some(event)) => told.push(format!("{event:?}")),
                        Ok(None) => break,
                        Err(_) => break 'input,
                    }
                }
            }
            told
        };
        assert!(read(input.len().max(1)).starts_with(&read(1)));
    }
}

/// The answer to a fetch, in v2 and in v0 with and without sideband.
pub(crate) fn fetch_answer(input: &[u8]) {
    let format = ObjectFormat::Sha1;
    let kinds: [fn(ObjectFormat) -> FetchReader; 3] =
        [FetchReader::v2, |f| FetchReader::v0(f, true, false), |f| FetchReader::v0(f, false, true)];
    for kind in kinds {
        let read = |size: usize| {
            let (mut reader, mut pack) = (kind(format), Vec::new());
            'input: for piece in input.chunks(size) {
                if reader.handle_input(piece).is_err() {
                    break;
                }
                loop {
                    match reader.poll_event() {
                        Ok(Some(proto::fetch_pack::FetchEvent::Pack(data))) => {
                            pack.extend_from_slice(data);
                        }
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'input,
                    }
                }
            }
            pack
        };
        assert_eq!(read(1), read(input.len().max(1)));
    }
}
