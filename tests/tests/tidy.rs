//! The borders between our crates, the homes of the large libraries, and the size of files.

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Which of our crates each crate may name.
const ARROWS: [(&str, &[&str]); 8] = [
    ("proto", &[]),
    ("gate-config", &[]),
    ("gate-store", &["proto"]),
    ("gate-core", &["proto", "gate-config", "gate-store"]),
    ("git-gate", &["proto", "gate-config", "gate-store", "gate-core"]),
    ("bottle", &["gate-config"]),
    ("cred-proxy", &[]),
    ("e2e", &[]),
];

/// Libraries, by how their names begin, and the crates that may name them.
const HOMES: [(&str, &[&str]); 7] = [
    ("gix", &["gate-store"]),
    ("tokio", &["gate-core", "git-gate", "bottle", "cred-proxy"]),
    ("hyper", &["git-gate", "bottle", "cred-proxy"]),
    ("rustls", &["git-gate", "cred-proxy"]),
    ("russh", &["git-gate"]),
    ("bollard", &["bottle"]),
    ("git2", &[]),
];

/// What a dev-dependency may name all the same: an oracle for tests.
const ORACLES: [(&str, &str); 1] = [("proto", "gix-packetline")];

/// The longest file of ours, in lines; past it a machine wants to be split by phase.
const LONGEST_FILE: usize = 500;

#[test]
fn crates_name_only_what_lies_below_them() {
    let metadata = metadata();
    let ours: BTreeMap<_, _> =
        metadata.workspace_packages().into_iter().map(|p| (p.name.to_string(), p)).collect();
    assert_eq!(ours.len(), ARROWS.len(), "a crate has no place in tidy.rs: {:?}", ours.keys());
    for (name, may) in ARROWS {
        let package = ours.get(name).unwrap_or_else(|| panic!("no crate {name}"));
        for dependency in package.dependencies.iter().filter(|d| ours.contains_key(&d.name)) {
            assert!(
                may.contains(&dependency.name.as_str()),
                "{name} must not depend on {}",
                dependency.name
            );
        }
    }
}

#[test]
fn large_libraries_stay_in_their_homes() {
    for package in metadata().workspace_packages() {
        for (library, homes) in HOMES {
            let strays =
                named(package, library).filter(|_| !homes.contains(&package.name.as_str()));
            let strays: Vec<_> = strays.collect();
            assert!(strays.is_empty(), "{} must not depend on {strays:?}", package.name);
        }
    }
}

#[test]
fn no_crate_can_be_published_or_reaches_out_of_the_workspace() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        assert_eq!(
            package.publish.as_deref(),
            Some(&[][..]),
            "{} has no publish = false",
            package.name
        );
        for dependency in &package.dependencies {
            if let Some(path) = &dependency.path {
                assert!(path.starts_with(&metadata.workspace_root), "{}: {path}", package.name);
            } else {
                let source =
                    dependency.source.as_ref().map(ToString::to_string).unwrap_or_default();
                assert!(source.starts_with("registry+"), "{}: {source}", dependency.name);
            }
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    let root = metadata().workspace_root;
    let mut long = Vec::new();
    for top in ["proto", "gate", "launcher", "cred-proxy", "tests"] {
        walk(root.join(top).as_std_path(), &mut |path, text| {
            let lines = text.lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        });
    }
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines: {long:#?}");
}

/// What a package names of a library family: `gix` is gix, gix-pack, …
fn named<'p>(package: &'p Package, library: &str) -> impl Iterator<Item = &'p str> {
    let family = format!("{library}-");
    let of_family =
        move |name: &str| name == family.trim_end_matches('-') || name.starts_with(&family);
    let oracle = |kind, name: &str| {
        kind == DependencyKind::Development && ORACLES.contains(&(package.name.as_str(), name))
    };
    package
        .dependencies
        .iter()
        .filter(move |d| of_family(&d.name) && !oracle(d.kind, &d.name))
        .map(|d| d.name.as_str())
}

fn walk(dir: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).expect("list a folder") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir()
            && path.file_name().is_some_and(|name| name != "target" && name != "corpus")
        {
            walk(&path, see);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            see(&path, &std::fs::read_to_string(&path).expect("read a source file"));
        }
    }
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata")
}
