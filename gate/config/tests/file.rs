//! The file as a whole: what it means, how it is refused, and that it reads back as it was written.

use std::path::PathBuf;

use gate_config::{
    ByteSize, Config, Endpoint, Glob, Limits, Listen, OriginPattern, Period, Policy, RefRule, Repo,
    RepoName, RepoPattern, Scan,
};
use proptest::prelude::*;

const WHOLE: &str = r#"
data = "/var/lib/git-gate"
[listen]
git = "0.0.0.0:9418"
http = "[::]:9420"
[[repo]]
name = "acme/app"
origin = "ssh://git@github.com:22/acme/app.git"
identity = "/run/creds/id_ed25519"
known_hosts = "/run/creds/known_hosts"
[[repo]]
name = "github/*"
origin = "https://github.com/*"
token = "/run/creds/token"
[[repo]]
name = "github/acme/*"
origin = "git://mirror/acme/*.git"
[scan]
rules = ["/etc/git-gate/rules.toml"]
scanners = 2
[policy]
protected_paths = [".github/workflows/*"]
max_file_size = "50MiB"
[[policy.ref]]
name = "refs/heads/main"
force = false
delete = false
[limits]
refresh = "45s"
pack = "512MiB"
"#;

#[test]
fn what_is_left_out_has_its_default() {
    let config = Config::from_toml("data = \"/d\"").unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.listen, Listen::default());
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.scan, Scan::default());
    assert!(config.repos.is_empty());
}

#[test]
fn reads_every_part() {
    let config = Config::from_toml(WHOLE).unwrap();
    assert_eq!(config.data, PathBuf::from("/var/lib/git-gate"));
    assert_eq!(config.listen.http.unwrap().0.port(), 9420);
    assert_eq!(config.listen.ssh, None);
    assert_eq!(config.limits.refresh, Period::from_secs(45));
    assert_eq!(config.limits.pack, ByteSize::mib(512));
    assert_eq!(config.limits.connect, Limits::default().connect);
    assert_eq!(config.policy.max_file_size, Some(ByteSize::mib(50)));
    assert!(!config.policy.refs[0].force && config.policy.refs[0].create);
    assert_eq!(config.scan.scanners.map(usize::from), Some(2));
}

#[test]
fn a_name_is_met_exactly_then_by_the_longest_pattern() {
    let config = Config::from_toml(WHOLE).unwrap();
    let origin = |name: &str| {
        config.resolve(&RepoName::parse(name).unwrap()).map(|repo| repo.origin.to_string())
    };
    assert_eq!(origin("acme/app").as_deref(), Some("ssh://git@github.com:22/acme/app.git"));
    assert_eq!(
        origin("github/torvalds/linux").as_deref(),
        Some("https://github.com/torvalds/linux")
    );
    assert_eq!(origin("github/acme/app").as_deref(), Some("git://mirror/acme/app.git"));
    assert_eq!(origin("acme/other"), None);
    assert_eq!(origin("github"), None);
    let repo = config.resolve(&RepoName::parse("github/a/b").unwrap()).unwrap();
    assert_eq!(repo.token, Some("/run/creds/token".into()));
    assert!(
        matches!(repo.origin.endpoint(), Endpoint::Http { tls: true, path, .. } if path == "/a/b")
    );
}

#[test]
fn a_bare_star_takes_every_name() {
    let config =
        Config::from_toml("data = \"/d\"\n[[repo]]\nname = \"*\"\norigin = \"file:///srv/*\"")
            .unwrap();
    let repo = config.resolve(&RepoName::from_request(b"/a/b.git").unwrap()).unwrap();
    assert_eq!(repo.origin.as_str(), "file:///srv/a/b");
}

#[test]
fn wrong_files_are_refused_with_the_line_and_what_would_be_right() {
    for (text, line, says) in [
        ("data = \"/d\"\nlisten = 1\n", 2, "expected struct Listen"),
        (
            "data = \"/d\"\n[listen]\ngti = \"1.2.3.4:5\"\n",
            3,
            "unknown field `gti`, expected one of `git`, `http`, `ssh`",
        ),
        (
            "data = \"/d\"\n[listen]\ngit = \"localhost\"\n",
            3,
            "is not IP:PORT, such as 127.0.0.1:9418",
        ),
        ("data = \"/d\"\n[limits]\nscan = \"2 minutes\"\n", 3, "such as \"30s\""),
        ("data = \"/d\"\n[limits]\nscan = 120\n", 3, "expected a string"),
        ("data = \"/d\"\n[limits]\npack = \"2GB\"\n", 3, "B, KiB, MiB or GiB"),
        ("data = \"/d\"\n[limits]\nsessions = 0\n", 3, "a limit of 0 lets nothing through"),
        (
            "data = \"/d\"\n[[repo]]\nname = \"a/../b\"\norigin = \"file:///x\"\n",
            3,
            "is not allowed",
        ),
        ("data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"/x\"\n", 4, "an origin is ssh://"),
        (
            "data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"git@h:x\"\n",
            2,
            "an ssh origin needs known_hosts",
        ),
        (
            "data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"git://h/x\"\ntoken = \"/t\"\n",
            2,
            "token is for an http",
        ),
        ("data = \"/d\"\n[[repo]]\nname = \"a/*\"\norigin = \"git://h/x\"\n", 2, "go together"),
        (
            "data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"git://h/x\"\n[[repo]]\nname = \"a\"\norigin = \"git://h/y\"\n",
            5,
            "a second time",
        ),
        ("data = \"/d\"\n[scan]\noff = true\n", 3, "unknown field `off`"),
        ("data = ", 1, "expected"),
        ("[listen]\n", 1, "missing field `data`"),
    ] {
        let error = Config::from_toml(text).unwrap_err();
        assert!(error.to_string().contains(says), "{text}\nsaid:\n{error}");
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(error.to_string().contains('^'), "{error}");
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let text = "data = \"/d\"\n[[repo]]\nname = \"a\"\norigin = \"https://me:hunter2@h/x\"\n";
    let error = Config::from_toml(text).unwrap_err().to_string();
    assert!(
        error.contains("https://me:*******@h/x") && error.contains("name that by token"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_reference_names_every_key() {
    let reference = include_str!("../../../docs/git-gate.md");
    let config = Config::from_toml(WHOLE).unwrap().to_toml().unwrap();
    let keys = config.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
    let missing: Vec<_> = keys.filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/git-gate.md says nothing of {missing:?}");
}

#[test]
fn the_reference_gives_the_defaults_of_the_limits() {
    let reference = include_str!("../../../docs/git-gate.md");
    let config = Config::from_toml("data = \"/d\"").unwrap().to_toml().unwrap();
    let limits = config.split("[limits]").nth(1).unwrap_or_default();
    for (key, value) in limits.lines().filter_map(|line| line.split_once(" = ")) {
        let value = if value.starts_with('"') { format!("`{value}`") } else { value.to_owned() };
        assert!(reference.contains(&format!("| `{key}` | {value} |")), "{key} = {value}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(config in any_config()) {
        let text = config.to_toml().unwrap();
        let read = Config::from_toml(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(read, config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\[|\\]|=|\"|\n|[a-z]{0,6}|:|/|@|\\*|é|[0-9]){0,40}") {
        if let Err(error) = Config::from_toml(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_name_that_passes_stays_below_the_data_folder(path in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(name) = RepoName::from_request(&path) {
            let dir = name.mirror_dir(std::path::Path::new("/data"));
            prop_assert!(dir.components().all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::RootDir)));
            prop_assert!(dir.starts_with("/data"));
        }
    }
}

fn any_config() -> impl Strategy<Value = Config> {
    let listen = (0_u16.., any::<[u8; 4]>(), any::<bool>()).prop_map(|(port, ip, http)| Listen {
        git: Some(gate_config::ListenAddr((ip, port).into())),
        http: http.then(|| gate_config::ListenAddr(([0_u16; 8], port).into())),
        ssh: None,
        ssh_keys: http.then(|| "/run/git-gate/authorized_keys".into()),
    });
    let limits =
        (1_u64..10_000_000, any::<u64>(), 1_usize..1_000_000).prop_map(|(millis, bytes, count)| {
            Limits {
                refresh: Period::from_millis(millis),
                pack: ByteSize::new(bytes),
                commands: count,
                ..Limits::default()
            }
        });
    let rule = ("[a-z/*\"\\\\]{1,12}", any::<[bool; 4]>()).prop_map(
        |(name, [create, update, force, delete])| RefRule {
            name: Glob::new(name),
            repo: create.then(|| RepoPattern::parse("a/*").expect("made to be right")),
            create,
            update,
            force,
            delete,
        },
    );
    let policy = (proptest::collection::vec(rule, 0..3), any::<bool>(), any::<Option<u64>>())
        .prop_map(|(refs, atomic, size)| Policy {
            refs,
            atomic,
            max_file_size: size.map(ByteSize::new),
            ..Policy::default()
        });
    let repos = proptest::collection::btree_map(
        "[a-z]{1,5}(/[a-z0-9_]{1,5}){0,2}",
        (0..4_u8, any::<bool>()),
        0..5,
    );
    let repos = repos.prop_map(|repos| {
        repos.into_iter().map(|(name, (kind, star))| repo(&name, kind, star)).collect()
    });
    let data = "/[a-z \"'é]{1,9}".prop_map(PathBuf::from);
    (data, listen, limits, policy, repos, proptest::option::of(1_usize..64)).prop_map(
        |(data, listen, limits, policy, repos, scanners)| Config {
            data,
            listen,
            limits,
            policy,
            repos,
            scan: Scan { scanners: scanners.and_then(|n| n.try_into().ok()), ..Scan::default() },
        },
    )
}

fn repo(name: &str, kind: u8, star: bool) -> Repo {
    let path = if star { "*" } else { "x.git" };
    let (name, file) =
        (if star { format!("{name}/*") } else { name.to_owned() }, PathBuf::from("/run/file"));
    let url = match kind {
        0 => format!("ssh://git@host:2222/{path}"),
        1 => format!("https://host/{path}"),
        2 => format!("file:///srv/{path}"),
        _ => format!("me@host:{path}"),
    };
    let ssh = kind == 0 || kind == 3;
    Repo {
        name: RepoPattern::parse(&name).expect("made to be right"),
        origin: OriginPattern::parse(&url).expect("made to be right"),
        identity: ssh.then(|| file.clone()),
        known_hosts: ssh.then(|| file.clone()),
        token: (kind == 1).then(|| file.clone()),
        ca_file: (kind == 1).then_some(file),
    }
}
