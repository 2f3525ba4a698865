//! What the gate itself refuses, and how it says so: each text whole.

use crate::env::TestEnv;
use crate::gate::{self, Door, Gate};
use crate::origin::Origin;
use crate::push_verdict::commit;
use crate::servers::{Kind, Server};

/// Runs with a gate of this config, a sample origin and a clone in `work`; the origin must end as it began.
pub(crate) fn refused(more: &str, prepare: impl FnOnce(&TestEnv), specs: &[&str]) -> String {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let gate = Gate::start(&env, "data", &gate::config(&env, "data", &server, more));
    env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
    prepare(&env);
    let before = origin.listing();
    let objects = origin.git(["count-objects", "-v"]);
    let said: Vec<String> = [Door::Git, Door::Http]
        .map(|door| {
            let url = gate.url(door, "app");
            let args = ["push", &url].into_iter().chain(specs.iter().copied());
            plain(&env.git_in("work", args).refused(), gate.base(door))
        })
        .into();
    assert_eq!(said[0], said[1], "both doors say the same");
    assert_eq!(origin.listing(), before, "nothing reached the origin");
    assert_eq!(origin.git(["count-objects", "-v"]), objects, "no object reached the origin");
    let tip = env.git_in("work", ["rev-parse", "HEAD"]).out();
    if !env.git_in(&origin.dir, ["cat-file", "-e", &tip]).ok {
        env.git(["init", "-q", "thief"]).out();
        env.git(["-C", "thief", "fetch", "-q", &gate.url(Door::Git, "app"), &tip]).refused();
    }
    said.into_iter().next().expect("two texts")
}

/// A refusal without what differs from run to run: ports, ids, and git's padding at line ends.
pub(crate) fn plain(said: &str, base: &str) -> String {
    let ids = regex::Regex::new("[0-9a-f]{40}").expect("a pattern");
    let short = regex::Regex::new(r"\b[0-9a-f]{7,12}\b").expect("a pattern");
    let said = said.replace(base, "<gate>");
    let said = ids.replace_all(&said, "<id>");
    let said = short.replace_all(&said, "<short>");
    said.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A token with the form and the entropy of a real one, made at run time so that it stands in no file.
pub(crate) fn token(seed: u64) -> String {
    let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let noise = crate::hostile::noise(seed as usize + 36);
    let tail = noise[noise.len() - 36..]
        .iter()
        .map(|byte| char::from(letters[usize::from(*byte) % letters.len()]));
    format!("gh{}_{}", 'p', tail.collect::<String>())
}

#[test]
fn a_secret_in_a_file() {
    let secret = token(1);
    let said = refused(
        "",
        |env| commit(env, "work", "config.toml", &format!("# settings\ntoken = \"{secret}\"\n")),
        &["main"],
    );
    assert!(!said.contains(&secret) && !said.contains(&secret[8..]), "the secret is shown: {said}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_secret_that_a_later_commit_removed() {
    let secret = token(2);
    let said = refused(
        "",
        |env| {
            commit(env, "work", "config.toml", &format!("token = \"{secret}\"\n"));
            commit(env, "work", "config.toml", "token = \"from the environment\"\n");
        },
        &["main"],
    );
    assert!(said.contains("config.toml") && !said.contains(&secret), "{said}");
}

#[test]
fn a_secret_in_a_message() {
    let secret = token(3);
    let message = format!("use {secret}");
    let said = refused(
        "",
        |env| {
            env.git_in("work", ["commit", "-q", "--allow-empty", "-m", &message]).out();
        },
        &["main"],
    );
    assert!(!said.contains(&secret), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn one_bad_ref_stops_the_others() {
    let secret = token(4);
    let said = refused(
        "",
        |env| {
            commit(env, "work", "clean", "clean\n");
            env.git_in("work", ["branch", "clean"]).out();
            commit(env, "work", "config.toml", &format!("token = \"{secret}\"\n"));
        },
        &["clean", "main"],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn a_secret_in_a_push_option() {
    let secret = token(5);
    let option = format!("--push-option=ci.variable=TOKEN={secret}");
    let said = refused("", |env| commit(env, "work", "clean", "clean\n"), &[&option, "main"]);
    assert!(!said.contains(&secret), "{said}");
    insta::assert_snapshot!(said);
    // Hooks run for a deletion too.
    let said = refused("", |_| {}, &[&option, ":topic/a"]);
    assert!(said.contains("secret found") && !said.contains(&secret), "{said}");
}

#[test]
fn many_findings_are_counted_after_ten() {
    let said = refused(
        "",
        |env| {
            let text: String =
                (0..14).map(|n| format!("t{n} = \"{}\"\n", token(100 + n))).collect();
            commit(env, "work", "config.toml", &text);
        },
        &["main"],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn a_hidden_ref() {
    insta::assert_snapshot!(refused(
        "",
        |env| commit(env, "work", "a", "a\n"),
        &["HEAD:refs/pull/9/head"]
    ));
}

#[test]
fn a_forced_update_that_policy_forbids() {
    let policy = "[[policy.ref]]\nname = \"refs/heads/main\"\nforce = false\ndelete = false\n";
    insta::assert_snapshot!(refused(
        policy,
        |env| {
            env.git_in("work", ["reset", "-q", "--hard", "HEAD~1"]).out();
            commit(env, "work", "a", "a\n");
        },
        &["+main"]
    ));
}

#[test]
fn a_delete_that_policy_forbids() {
    let policy = "[[policy.ref]]\nname = \"refs/heads/*\"\ndelete = false\n";
    insta::assert_snapshot!(refused(policy, |_| {}, &[":topic/a"]));
}

#[test]
fn a_protected_path_a_large_file_and_a_strange_author() {
    let policy = "[policy]\nprotected_paths = [\".github/*\"]\nmax_file_size = \"1KiB\"\nauthor_emails = [\"*@agents.example\"]\n";
    insta::assert_snapshot!(refused(
        policy,
        |env| {
            commit(env, "work", ".github/workflows/ci.yml", "on: push\n");
            commit(env, "work", "large", &"large\n".repeat(1000));
        },
        &["main"]
    ));
}

#[test]
fn a_pack_over_the_limit() {
    let limits = "[limits]\npack = \"64KiB\"\n";
    let said = refused(limits, |env| commit_noise(env, 300_000), &["main"]);
    assert!(said.contains("64KiB") || said.contains("limits.pack"), "{said}");
}

#[test]
fn an_object_over_the_limit() {
    let limits = "[limits]\nobject = \"64KiB\"\n";
    let said =
        refused(limits, |env| commit(env, "work", "large", &"large\n".repeat(20_000)), &["main"]);
    assert!(said.contains("64KiB") || said.contains("limits.object"), "{said}");
}

#[test]
fn no_scanner_means_no_push() {
    let scan = "[scan]\ngitleaks = \"/nowhere/gitleaks\"\n";
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let mut child = Gate::spawn(&env, "data", &gate::config(&env, "data", &server, scan));
    // Either it does not start at all, or it refuses each push: never a push without a scan.
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("its output")));
    if let Some(Ok(line)) = lines.next() {
        let url = line.split_whitespace().find(|word| word.contains("://")).expect("a URL");
        let base = &url[..url[6..].find('/').map_or(url.len(), |at| at + 6)];
        let url = format!("{base}/app.git");
        env.git(["clone", "-q", &url, "work"]).out();
        commit(&env, "work", "file", "clean\n");
        let before = origin.listing();
        let said = env.git_in("work", ["push", "origin", "main"]).refused();
        assert!(said.contains("scan"), "{said}");
        assert_eq!(origin.listing(), before);
        child.kill().expect("stop it");
    }
    child.wait().expect("wait for it");
}

#[test]
fn malformed_objects_are_refused_by_name() {
    let said = refused(
        "",
        |env| {
            let blob = env.git_in("work", ["rev-parse", "HEAD:README"]).out();
            let listing = env.write("listing", format!("100644 blob {blob}\t.git\n"));
            let mut mktree = env.command("sh");
            mktree.args(["-c", "git -C work mktree --missing <\"$1\"", "sh"]).arg(listing);
            let tree = crate::env::run(&mut mktree).out();
            let commit =
                env.git_in("work", ["commit-tree", "-m", "bad", "-p", "HEAD", &tree]).out();
            env.git_in("work", ["update-ref", "refs/heads/bad", &commit]).out();
        },
        &["bad"],
    );
    assert!(said.contains("hasDotgit") || said.contains(".git"), "{said}");
}

fn commit_noise(env: &TestEnv, length: usize) {
    env.write("work/noise", crate::hostile::noise(length));
    env.git_in("work", ["add", "noise"]).out();
    env.git_in("work", ["commit", "-q", "-m", "noise"]).out();
}
