//! Takes a pack into a new mirror, and says what each step cost. For measuring, beside `git index-pack`.
//!
//!     cargo run --release -p gate-store --example index -- PACK push|origin TIP…
#![allow(clippy::print_stderr, reason = "a tool for a terminal")]

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::time::Instant;

use gate_store::{Check, IndexLimits, Interrupt, Store};
use proto::{ObjectFormat, ObjectId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [pack, check, tips @ ..] = &args[..] else {
        return Err("usage: index PACK push|origin TIP…".into());
    };
    let check = if check == "push" { Check::Push } else { Check::Origin };
    let tips: Vec<ObjectId> = tips
        .iter()
        .map(|tip| ObjectId::from_hex(tip.as_bytes()).ok_or("a tip"))
        .collect::<Result<_, _>>()?;
    let dir = tempfile::TempDir::new()?;
    let store = Store::create(&dir.path().join("m.git"), ObjectFormat::Sha1)?;
    let interrupt = Interrupt::default();
    let mut quarantine = store.quarantine(&store.snapshot())?;
    let mut input = BufReader::with_capacity(1 << 16, File::open(pack)?);
    let start = Instant::now();
    let mut received = start.elapsed();
    let indexed =
        quarantine.index(&mut input, &IndexLimits::NONE, check, &interrupt, &mut |progress| {
            if let gate_store::IndexProgress::Receiving { objects, of, .. } = progress
                && objects == of
            {
                received = start.elapsed();
            }
        })?;
    eprintln!("receive {received:?}, index {:?}: {indexed:?}", start.elapsed());
    let start = Instant::now();
    let connected = quarantine.connect(&tips, &[], check, &interrupt)?;
    eprintln!("connect {:?}: {} objects", start.elapsed(), connected.len());
    if check == Check::Push {
        let start = Instant::now();
        let mut count = 0;
        let flow = connected.blobs(usize::MAX, &interrupt, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        eprintln!("blobs   {:?}: {count} paths, {flow:?}", start.elapsed());
    }
    let start = Instant::now();
    store.commit_push(&connected, &[])?;
    eprintln!("commit  {:?}", start.elapsed());
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("Rss")) {
        eprintln!("{line}");
    }
    Ok(())
}
