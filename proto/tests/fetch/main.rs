//! The client's parsers against recorded answers of git, every cut of them, and noise.

mod drive;

use proptest::prelude::*;

/// A name below `fuzz/corpus`, and what a fuzzer does with each of its files.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 3] = [
    ("advertisement", drive::advertisement),
    ("ls_refs_answer", drive::ls_refs_answer),
    ("fetch_answer", drive::fetch_answer),
];

#[test]
fn the_corpus_passes_whole_and_cut_anywhere() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            let input = std::fs::read(file.unwrap().path()).unwrap();
            for end in 0..=input.len() {
                target(&input[..end]);
            }
        }
    }
}

proptest! {
    #[test]
    fn noise_behind_a_good_beginning_is_survived(cut in 0_usize..600, noise: Vec<u8>) {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in TARGETS {
            let file = std::fs::read_dir(corpus.join(name)).unwrap().next().unwrap().unwrap();
            let mut input = std::fs::read(file.path()).unwrap();
            input.truncate(cut);
            input.extend_from_slice(&noise);
            target(&input);
        }
    }
}
