//! Histories of random shape: merges, octopuses, renames, reverts, wrong clocks, submodules, nested tags.

use std::fmt::Write as _;

use proto::{ObjectFormat, ObjectId};

use crate::support::{Repo, git_bytes};

/// Small random numbers from a seed (xorshift), so that a failure can be run again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A bare history of `commits` commits with branches, tags and packs, all made by git.
pub(crate) struct History {
    pub(crate) repo: Repo,
    pub(crate) commits: Vec<ObjectId>,
    pub(crate) tags: Vec<ObjectId>,
}

pub(crate) fn random(format: ObjectFormat, seed: u64, commits: usize) -> History {
    let repo = Repo::init(format);
    let mut dice = Dice::new(seed);
    let link = "5".repeat(format.hex_len());
    let mut stream = String::new();
    let mut time = 1_700_000_000_i64;
    for n in 1..=commits {
        time += dice.below(1000) as i64 - if dice.below(12) == 0 { 5000 } else { 0 };
        let branch = dice.below(4);
        let _ = write!(
            stream,
            "commit refs/heads/b{branch}\nmark :{n}\ncommitter C <c@example.com> {time} +0000\ndata 1\nx\n"
        );
        let root = n == 1 || dice.below(25) == 0;
        if !root {
            let parents = if dice.below(4) == 0 { 2 + dice.below(3) } else { 1 };
            let _ = writeln!(stream, "from :{}", n - 1 - dice.below((n - 1).min(6)));
            let mut seen = vec![];
            for _ in 1..parents {
                let parent = 1 + dice.below(n - 1);
                if !seen.contains(&parent) {
                    let _ = writeln!(stream, "merge :{parent}");
                    seen.push(parent);
                }
            }
        }
        if root {
            stream.push_str("deleteall\n");
        }
        for _ in 0..=dice.below(3) {
            change(&mut stream, &mut dice, &link, n);
        }
    }
    for t in 0..6 {
        let on = 1 + dice.below(commits);
        let _ = write!(
            stream,
            "tag t{t}\nfrom :{on}\ntagger T <t@example.com> {time} +0000\ndata 1\nt\n"
        );
    }
    let marks = repo.path().join("marks");
    let export = format!("--export-marks={}", marks.display());
    git_bytes(repo.path(), &["fast-import", "--quiet", "--force", &export], stream.as_bytes());
    repo.git(&["tag", "-a", "-m", "nested", "nested", "t0"]);
    repo.git(&["tag", "-a", "-m", "tree", "of-tree", "t1^{tree}"]);
    repo.git(&["tag", "light", "t2^{commit}"]);
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
    let mut made: Vec<(usize, ObjectId)> = std::fs::read_to_string(&marks)
        .expect("marks")
        .lines()
        .map(|line| {
            let (mark, hex) = line[1..].split_once(' ').expect("two words");
            (mark.parse().expect("a number"), ObjectId::from_hex(hex.as_bytes()).expect("an id"))
        })
        .collect();
    made.sort_unstable_by_key(|(mark, _)| *mark);
    // Whatever no branch holds in the end would be lost on the way to the mirror.
    let keep: String =
        made.iter().map(|(mark, id)| format!("create refs/keep/{mark} {id}\n")).collect();
    git_bytes(repo.path(), &["update-ref", "--stdin"], keep.as_bytes());
    let tags = ["t0", "t3", "nested", "of-tree"].map(|tag| repo.id(&format!("refs/tags/{tag}")));
    History { repo, commits: made.into_iter().map(|(_, id)| id).collect(), tags: tags.to_vec() }
}

fn change(stream: &mut String, dice: &mut Dice, link: &str, n: usize) {
    let path =
        |dice: &mut Dice| format!("d{}/e{}/f{}", dice.below(3), dice.below(2), dice.below(4));
    match dice.below(10) {
        0 => {
            let _ = writeln!(stream, "D {}", path(dice));
        }
        1 => {
            let _ = writeln!(stream, "M 160000 {link} d{}/module", dice.below(3));
        }
        2 => {
            let _ = write!(
                stream,
                "M 644 inline d{}\ndata 2\n{:02}\n",
                3 + dice.below(2),
                dice.below(9)
            );
        }
        _ => {
            let (path, lines) = (path(dice), 20 + dice.below(150));
            // Few versions of each line, so that content comes back, at the same path and at others.
            let text: String = (0..lines)
                .map(|line| {
                    format!(
                        "line {line} of some length {}\n",
                        if line % 40 == 7 { n % 11 } else { line % 3 }
                    )
                })
                .collect();
            let _ = write!(stream, "M 644 inline {path}\ndata {}\n{text}\n", text.len());
        }
    }
}
