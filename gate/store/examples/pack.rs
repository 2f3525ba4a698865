//! Writes the pack that answers a fetch, and says what it cost. For measuring, beside `git pack-objects`.
//!
//!     cargo run --release -p gate-store --example pack -- REPO OUT WANT… [--not HAVE…]
//!
//! REPO is a bare repository whose objects are all packed and whose refs lie in `packed-refs`; WANT and HAVE are ids, or
//! `--all` for every ref.
#![allow(clippy::print_stderr, reason = "a tool for a terminal")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use gate_store::{Interrupt, PackRequest, Store, plan};
use proto::ObjectId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [repo, out, revs @ ..] = &args[..] else {
        return Err("usage: pack REPO OUT WANT… [--not HAVE…]".into());
    };
    let start = Instant::now();
    let store = Store::open(Path::new(repo))?;
    let snapshot = store.snapshot();
    eprintln!("open   {:?}", start.elapsed());
    let mut request = PackRequest { ofs_delta: true, thin: true, ..PackRequest::default() };
    let mut not = false;
    for rev in revs {
        let list = if not { &mut request.common } else { &mut request.wants };
        match rev.as_str() {
            "--not" => not = true,
            "--all" => list.extend(snapshot.refs().iter().map(|entry| entry.target)),
            hex => list.push(ObjectId::from_hex(hex.as_bytes()).ok_or("not an id")?),
        }
    }
    for round in ["cold", "warm"] {
        let interrupt = Interrupt::default();
        let start = Instant::now();
        let plan = plan(&snapshot, request.clone(), &interrupt, &mut |_| {})?;
        let counted = start.elapsed();
        let mut file = BufWriter::new(File::create(out)?);
        let written = plan.write(&mut file, &interrupt, &mut |_| {})?;
        file.flush()?;
        eprintln!("{round}   counted {counted:?}, written {:?}: {written:?}", start.elapsed());
    }
    Ok(())
}
