//! Reading packs that real git made.

use crate::support::{FORMATS, Repo, ids};
use gate_store::{EntryKind, Kind, Pack, PackSet, ReadError};
use proto::{ObjectFormat, ObjectId};
use std::sync::Arc;

fn packs_of(repo: &Repo) -> PackSet {
    let dir = repo.git_dir().join("objects/pack");
    let packs = std::fs::read_dir(dir)
        .expect("a pack directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "pack"))
        .map(|path| Arc::new(Pack::open(&path, repo.format).expect("a pack of git's")))
        .collect();
    PackSet::new(packs, repo.format)
}

fn packed(format: ObjectFormat, repack: &[&str]) -> (Repo, PackSet) {
    let repo = Repo::init(format).with_history(60);
    repo.git(&["tag", "-a", "-m", "a tag", "v1"]);
    repo.git(repack);
    let packs = packs_of(&repo);
    (repo, packs)
}

fn all_objects(repo: &Repo) -> Vec<ObjectId> {
    ids(&repo.git(&["cat-file", "--batch-all-objects", "--batch-check"]))
}

#[test]
fn reads_every_object_as_git_does_with_either_kind_of_delta() {
    for format in FORMATS {
        for repack in [
            &["repack", "-adfq"][..],
            &["-c", "repack.usedeltabaseoffset=false", "repack", "-adfq"],
            &["-c", "pack.depth=0", "repack", "-adfq"],
        ] {
            let (repo, packs) = packed(format, repack);
            let mut reader = packs.reader();
            let (mut bytes, mut streamed) = (Vec::new(), Vec::new());
            let all = all_objects(&repo);
            assert_eq!(packs.len(), all.len());
            for id in all {
                let kind = reader.read(&id, &mut bytes).expect("readable");
                assert_eq!(gate_store::hash_object(format, kind, &bytes), Ok(id));
                let size = bytes.len() as u64;
                assert_eq!(packs.header(&id).expect("a header"), (kind, size));
                streamed.clear();
                assert_eq!(reader.read_to(&id, &mut streamed).expect("streams"), (kind, size));
                assert_eq!(streamed, bytes);
            }
        }
    }
}

#[test]
fn entries_tile_the_pack_and_carry_their_checksums() {
    for format in FORMATS {
        let (_repo, packs) = packed(format, &["repack", "-adfq"]);
        let pack = &packs.packs()[0];
        let order = pack.order();
        let (mut at, mut deltas) = (gate_store::PACK_HEADER_LEN, 0);
        for rank in 0..pack.len() {
            let entry = pack.nth_entry(rank).expect("an entry");
            assert_eq!(entry.offset, at);
            assert_eq!(pack.offset_at(order.positions()[rank as usize]), at);
            assert_eq!(pack.entry(at).expect("an entry").deflated, entry.deflated);
            if let EntryKind::OfsDelta { base } = entry.kind {
                deltas += 1;
                assert!(order.rank(base).is_some());
            }
            at = order.end(rank);
        }
        assert_eq!(at, pack.end());
        assert!(deltas > 10, "git makes deltas");
        assert!(pack.entry(at).is_err());
        assert!(pack.entry(13).is_err());
    }
}

#[test]
fn what_is_not_there_is_missing() {
    let (_repo, packs) = packed(ObjectFormat::Sha1, &["repack", "-adfq"]);
    let mut bytes = Vec::new();
    for hex in ["12".repeat(20), "12".repeat(32)] {
        let id = ObjectId::from_hex(hex.as_bytes()).expect("an id");
        assert!(!packs.contains(&id));
        let error = packs.read(&id, &mut bytes).expect_err("missing");
        assert!(matches!(error, ReadError::Missing { .. }), "{error}");
    }
}

#[test]
fn a_damaged_pack_is_an_error_and_never_a_panic() {
    let (repo, packs) = packed(ObjectFormat::Sha1, &["repack", "-adfq"]);
    let pack = &packs.packs()[0];
    let good = pack.bytes().to_owned();
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let path = dir.path().join("pack-bad.pack");
    std::fs::copy(pack.path().with_extension("idx"), path.with_extension("idx")).expect("copy");
    let all = all_objects(&repo);
    let mut wrong = 0;
    for at in (12..good.len() - 20).step_by(397) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            std::fs::write(&path, &bad).expect("write");
            let packs = PackSet::new(
                vec![Arc::new(Pack::open(&path, ObjectFormat::Sha1).expect("opens"))],
                ObjectFormat::Sha1,
            );
            let mut reader = packs.reader();
            let mut bytes = Vec::new();
            wrong += all.iter().filter(|id| reader.read(id, &mut bytes).is_err()).count();
            for rank in 0..pack.len() {
                drop(packs.packs()[0].nth_entry(rank));
            }
            std::fs::remove_file(&path).expect("unlink");
        }
    }
    assert!(wrong > 0);
}

#[test]
fn packs_that_are_cut_short_do_not_open() {
    let (_repo, packs) = packed(ObjectFormat::Sha1, &["repack", "-adfq"]);
    let pack = &packs.packs()[0];
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let path = dir.path().join("pack-cut.pack");
    let idx = std::fs::read(pack.path().with_extension("idx")).expect("read");
    for (pack_len, idx_len) in [(0, idx.len()), (31, idx.len()), (400, 0), (400, 1000)] {
        std::fs::write(&path, &pack.bytes()[..pack_len]).expect("write");
        std::fs::write(path.with_extension("idx"), &idx[..idx_len]).expect("write");
        assert!(Pack::open(&path, ObjectFormat::Sha1).is_err(), "{pack_len} {idx_len}");
    }
}

#[test]
fn kinds_are_told_from_headers() {
    let (repo, packs) = packed(ObjectFormat::Sha256, &["repack", "-adfq"]);
    for (name, kind) in [
        ("HEAD", Kind::Commit),
        ("HEAD^{tree}", Kind::Tree),
        ("v1", Kind::Tag),
        ("HEAD:a/long.txt", Kind::Blob),
    ] {
        let at = packs.locate(&repo.id(name)).expect("there");
        assert_eq!(packs.kind_at(at).expect("a kind"), kind);
    }
}
