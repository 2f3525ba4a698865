//! What a scan costs: CPU of the scanner and of the gate, time, and the gate's memory.
//!
//! `cargo test -p gate-core --test scan figures -- --ignored --nocapture --test-threads=1`; no verdict, only numbers.

use std::io::Write;
use std::time::Instant;

use gate_core::scan::{Item, NewObjects, Scanner, Stop, Verdict};
use gate_store::Interrupt;
use proto::ObjectId;

use crate::support::{options, scan_by};

/// So many blobs of so many bytes of something like code, made as they are asked for.
struct Code {
    blobs: u64,
    size: u64,
}

impl NewObjects for Code {
    fn bytes(&self) -> u64 {
        self.blobs * self.size
    }

    fn each(
        &self,
        _: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        (0..self.blobs).try_for_each(|blob| {
            let raw = [[0; 12].as_slice(), &blob.to_be_bytes()].concat();
            let id = ObjectId::from_raw(&raw).unwrap();
            visit(Item::Blob {
                id,
                path: format!("src/file{blob}.rs").as_str().into(),
                commit: None,
            })
        })
    }

    fn size(&self, _: &ObjectId) -> Result<u64, Stop> {
        Ok(self.size)
    }

    fn write(&self, id: &ObjectId, out: &mut dyn Write) -> Result<(), Stop> {
        let text = include_str!("../../src/scan/patch.rs").as_bytes();
        let mut left = self.size;
        let mut line = 0;
        while left > 0 {
            let piece = &text[..text.len().min(left as usize)];
            out.write_all(piece).map_err(Stop::Feed)?;
            left -= piece.len() as u64;
            let mark = format!("// {id} {line}\n");
            let mark = &mark.as_bytes()[..mark.len().min(left as usize)];
            out.write_all(mark).map_err(Stop::Feed)?;
            left -= mark.len() as u64;
            line += 1;
        }
        Ok(())
    }
}

/// User and system seconds of this process's ended children, and its own.
fn cpu() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<f64> = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    ((fields[13] + fields[14]) / 100.0, (fields[11] + fields[12]) / 100.0)
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints numbers, proves nothing"]
async fn what_a_scan_costs() {
    let scanner = Scanner::new(options());
    let build = scanner.prove().await.unwrap();
    println!("gitleaks {} ({})", build.version, build.engine);
    for (name, blobs, size) in [
        ("nothing", 0, 0),
        ("one commit, 1 KB", 1, 1 << 10),
        ("2 MB in 400 files", 400, 5 << 10),
        ("24 MB in 600 files", 600, 40 << 10),
        ("one blob of 200 MB", 1, 200 << 20),
        ("1 GB in 5000 files", 5000, 200 << 10),
    ] {
        let (before, started) = (cpu(), Instant::now());
        let verdict = scan_by(&scanner, Code { blobs, size }).await;
        let (after, took) = (cpu(), started.elapsed());
        assert!(matches!(verdict, Ok(Verdict::Clean(_))), "{verdict:?}");
        println!(
            "{name:20} {:6.2} s, scanner {:6.2} s CPU, gate {:5.2} s CPU, gate's peak {} MB",
            took.as_secs_f64(),
            after.0 - before.0,
            after.1 - before.1,
            peak_memory()
        );
    }
}
