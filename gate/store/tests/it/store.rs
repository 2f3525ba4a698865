//! Making and opening mirrors, with git as the judge of what lies on disk.

use gate_store::{CreateStoreError, OpenStoreError, Store};
use proto::{Head, ObjectFormat, RefName};
use std::path::Path;
use tempfile::TempDir;

use crate::support::{FORMATS, Repo, git, git_output};

/// A bare clone in which git left everything packed.
fn packed_clone(repo: &Repo) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("m.git");
    let url = repo.path().to_string_lossy().into_owned();
    git(dir.path(), &["clone", "-q", "--mirror", &url, "m.git"]);
    git(&path, &["repack", "-adq"]);
    git(&path, &["pack-refs", "--all"]);
    dir
}

fn fsck(dir: &Path) {
    let out = git_output(dir, &["fsck", "--full", "--strict", "--no-dangling"], b"");
    let words =
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words}");
}

#[test]
fn a_new_store_is_an_empty_bare_repository_to_git() {
    for format in FORMATS {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("acme/app.git");
        let store = Store::create(&path, format).expect("made");
        assert_eq!(store.format(), format);
        assert!(store.snapshot().refs().is_empty());
        assert!(store.snapshot().is_exact());
        fsck(&path);
        assert_eq!(git(&path, &["rev-parse", "--is-bare-repository"]), "true");
        assert_eq!(git(&path, &["rev-parse", "--show-object-format"]), format.as_str());
        assert_eq!(git(&path, &["config", "gc.auto"]), "0");
        assert_eq!(git(&path, &["for-each-ref"]), "");
        let again = Store::create(&path, format).expect_err("there already");
        assert!(matches!(again, CreateStoreError::Exists { .. }));
    }
}

#[test]
fn reads_what_git_wrote() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(5);
        repo.git(&["tag", "-a", "-m", "one", "v1"]);
        repo.git(&["tag", "-a", "-m", "of a tag", "v2", "v1"]);
        repo.git(&["branch", "other", "HEAD~2"]);
        let dir = packed_clone(&repo);
        let store = Store::open(&dir.path().join("m.git")).expect("opens");
        let snapshot = store.snapshot();
        assert_eq!(snapshot.format(), format);
        let main = RefName::parse(b"refs/heads/main").expect("a name");
        assert_eq!(snapshot.head(), Some(&Head::Symbolic(main)));
        assert_eq!(snapshot.head_target(), Some(repo.id("main")));
        let refs = snapshot.refs();
        assert_eq!(refs.len(), 4);
        assert_eq!(refs.get(b"refs/heads/other").expect("there").target, repo.id("other"));
        let tag = refs.get(b"refs/tags/v2").expect("there");
        assert_eq!((tag.target, tag.peeled), (repo.id("v2"), Some(repo.id("main"))));
        assert!(!snapshot.is_exact(), "nobody proved it");
        for id in repo.objects(&["--all"]) {
            assert!(snapshot.packs().contains(&id));
        }
    }
}

#[test]
fn ignores_loose_refs_and_objects_that_somebody_put_there() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let dir = packed_clone(&repo);
    let path = dir.path().join("m.git");
    git(&path, &["update-ref", "refs/heads/stray", "refs/heads/main"]);
    git(&path, &["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    let stray = git(&path, &["hash-object", "-w", "--stdin"]);
    let snapshot = Store::open(&path).expect("opens").snapshot();
    assert_eq!(snapshot.refs().len(), 1);
    assert_eq!(snapshot.head_target(), Some(repo.id("main")));
    let stray = proto::ObjectId::from_hex(stray.as_bytes()).expect("an id");
    assert!(!snapshot.packs().contains(&stray));
}

#[test]
fn sweeps_what_a_crash_left() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("m.git");
    drop(Store::create(&path, ObjectFormat::Sha1).expect("made"));
    let left = [
        "quarantine/7/incoming.pack",
        "packed-refs.tmp",
        "objects/pack/pack-1.pack",
        "objects/pack/pack-2.idx",
        "objects/pack/pack-3.idx.tmp",
        "objects/pack/tmp_pack_x",
    ];
    for file in left {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().expect("below")).expect("mkdir");
        std::fs::write(file, "half").expect("write");
    }
    let snapshot = Store::open(&path).expect("opens").snapshot();
    assert!(snapshot.packs().packs().is_empty());
    for file in left {
        assert!(!path.join(file).exists(), "{file}");
    }
    fsck(&path);
}

#[test]
fn damage_is_told_from_absence() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("m.git");
    let absent = Store::open(&path).expect_err("not there");
    assert!(matches!(absent, OpenStoreError::Absent { .. }) && !absent.is_damage());
    for (file, bytes) in [
        ("packed-refs", "half a li"),
        ("shallow", "x\n"),
        ("config", "[core]\n\tbare = true\n"),
        ("config", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = md5\n"),
    ] {
        drop(Store::create(&path, ObjectFormat::Sha256).expect("made"));
        std::fs::write(path.join(file), bytes).expect("write");
        assert!(Store::open(&path).expect_err("damaged").is_damage(), "{file}");
        Store::destroy(&path).expect("destroyed");
        assert!(!path.exists());
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
}
