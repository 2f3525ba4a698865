//! Looks at everything a launch depends on, and says what to do.

use std::collections::HashMap;
use std::path::Path;

use super::engine::{Engine, Step, ask, is_gone};
use super::find;
use super::launch::{Launch, Options};
use super::look;
use crate::host::Host;
use crate::manifest::{AgentImage, Manifest};
use crate::names::Role;
use crate::plan::bundle;
use crate::progress::Progress;
use crate::render::pipelock;

/// One thing looked at.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// What to do; empty when nothing.
    pub next: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Good,
    /// A launch works, with something less.
    Note,
    /// No launch works.
    Bad,
}

/// The oldest engine this was tried with.
const OLDEST: (u32, u32) = (20, 10);

/// Looks at the host and its engine; the self-test uses a manifest's images, runtime and targets.
pub async fn examine(host: &Host, own: &Path, manifest: &Manifest) -> Vec<Check> {
    let mut checks = vec![programs(host, own)];
    let engine = match Engine::connect(host.variable("DOCKER_HOST")).await {
        Ok(engine) => {
            checks.push(good("engine", format!("answers at {}", engine.address)));
            engine
        }
        Err(error) => {
            checks.push(bad("engine", error.words, error.next));
            return checks;
        }
    };
    checks.push(version(&engine).await);
    checks.extend(info(&engine).await);
    let (images, all_there) = images(&engine, host, own, manifest).await;
    checks.push(images);
    checks.push(if all_there {
        self_test(&engine, host, own, manifest.clone()).await
    } else {
        Check {
            name: "self-test",
            state: State::Note,
            found: "not run: an image is missing".to_owned(),
            next: format!("docker pull {}; then bottle doctor", pipelock_image(manifest)),
        }
    });
    checks.push(leftovers(&engine, host).await);
    checks
}

fn programs(host: &Host, own: &Path) -> Check {
    const NEXT: &str =
        "docker/assemble builds them; then BOTTLE_LIBEXEC=FOLDER, or copy them beside bottle";
    let folders = bundle::folders(host.variable("BOTTLE_LIBEXEC"), own);
    let wanted = ["bottle-guest", "git-gate", "gitleaks", "cred-proxy"];
    let missing: Vec<&str> =
        wanted.into_iter().filter(|name| bundle::find_program(name, &folders).is_none()).collect();
    if missing.is_empty() {
        return good("programs", "all sidecars' programs are there".to_owned());
    }
    let found = format!("missing: {}", missing.join(", "));
    if missing.contains(&"bottle-guest") {
        return bad("programs", found, NEXT.to_owned());
    }
    Check { name: "programs", state: State::Note, found, next: NEXT.to_owned() }
}

async fn version(engine: &Engine) -> Check {
    let asked = ask(&Step::new("ask", "the engine's version", ""), engine.docker.version()).await;
    let text = match asked {
        Ok(version) => version.version.unwrap_or_default(),
        Err(error) => return bad("version", error.words, error.next),
    };
    let mut numbers = text.split(['.', '-', '+']).filter_map(|word| word.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if number < OLDEST {
        let next = format!("an engine of {}.{} or later", OLDEST.0, OLDEST.1);
        return bad("version", text, next);
    }
    good("version", text)
}

async fn info(engine: &Engine) -> Vec<Check> {
    let asked = ask(&Step::new("ask", "the engine's state", ""), engine.docker.info()).await;
    let info = match asked {
        Ok(info) => info,
        Err(error) => return vec![bad("state", error.words, error.next)],
    };
    let mut checks = Vec::new();
    let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort();
    checks.push(good("runtimes", runtimes.join(", ")));
    let options = info.security_options.unwrap_or_default();
    checks.push(if options.iter().any(|option| option.contains("seccomp")) {
        good("seccomp", "on".to_owned())
    } else {
        Check {
            name: "seccomp",
            state: State::Note,
            found: "the engine filters no system calls".to_owned(),
            next: "an engine with seccomp, or runtime = \"runsc\"".to_owned(),
        }
    });
    if info.memory_limit == Some(false) || info.pids_limit == Some(false) {
        checks.push(Check {
            name: "limits",
            state: State::Note,
            found: "the engine does not limit memory or processes".to_owned(),
            next: "cgroups with the memory and pids controllers".to_owned(),
        });
    }
    checks
}

async fn images(engine: &Engine, host: &Host, own: &Path, manifest: &Manifest) -> (Check, bool) {
    let pipelock = pipelock_image(manifest);
    let mut wanted = vec![pipelock.clone()];
    if let Ok(facts) = look::host_facts(host, own) {
        for role in [Role::GitGate, Role::CredProxy, Role::Probe] {
            wanted.extend(facts.bundles.get(&role).map(|bundle| bundle.reference.clone()));
        }
    }
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for reference in wanted {
        match engine.docker.inspect_image(&reference).await {
            Ok(_) => present.push(reference),
            Err(refusal) if is_gone(&refusal) => missing.push(reference),
            Err(refusal) => {
                let next = "bottle doctor".to_owned();
                return (bad("images", refusal.to_string(), next), false);
            }
        }
    }
    if missing.is_empty() {
        return (good("images", present.join(", ")), true);
    }
    let check = Check {
        name: "images",
        state: State::Note,
        found: format!("not there yet: {}", missing.join(", ")),
        next: "the first launch pulls or assembles them".to_owned(),
    };
    (check, !missing.contains(&pipelock))
}

fn pipelock_image(manifest: &Manifest) -> String {
    let named = manifest.images.get(&Role::Pipelock).cloned();
    named.unwrap_or_else(|| pipelock::IMAGE.to_owned())
}

/// Launches a bottle of its own whose agent is our own program, up to the proof, and removes it.
async fn self_test(engine: &Engine, host: &Host, own: &Path, mut manifest: Manifest) -> Check {
    let failed = |found: String| {
        bad("self-test", found, "docs/bottle.md, failures, says what it means".to_owned())
    };
    let facts = match look::host_facts(host, own) {
        Ok(mut facts) => match engine.add_facts(&manifest.name, &mut facts).await {
            Ok(()) => facts,
            Err(error) => return bad("self-test", error.words, error.next),
        },
        Err(error) => return failed(error.to_string()),
    };
    let probe = manifest.images.get(&Role::Probe).cloned();
    let probe = probe.or_else(|| facts.bundles.get(&Role::Probe).map(|it| it.reference.clone()));
    let Some(image) = probe else { return failed("there is no bottle-guest".to_owned()) };
    manifest.agent.image = AgentImage::Reference(image);
    manifest.agent.command = vec!["/usr/bin/bottle-guest".to_owned()];
    let plan = match crate::plan::plan(&manifest, &facts) {
        Ok(plan) => plan,
        Err(error) => return failed(error.to_string()),
    };
    let progress = Progress::new(true);
    let options = Options { tty: false, answers: HashMap::new(), stop_after: None };
    let launch = Launch::new(engine, &plan, host, &progress, options);
    let proved = launch.prepare().await;
    let left = launch.undo().await;
    match (proved, left) {
        (Ok(()), Ok(())) => {
            let count = plan.self_test.closed.len();
            good(
                "self-test",
                format!("a network of ours is closed: {count} addresses do not answer"),
            )
        }
        (Err(error), _) => failed(error.to_string()),
        (Ok(()), Err(refusals)) => failed(refusals.iter().map(ToString::to_string).collect()),
    }
}

async fn leftovers(engine: &Engine, host: &Host) -> Check {
    let found = match engine.find(None).await {
        Ok(found) => found,
        Err(error) => return bad("leftovers", error.words, error.next),
    };
    let mut left = Vec::new();
    for (bottle, things) in find::by_bottle(found) {
        if engine.judge(host, &bottle, &things, false).await == super::cleanup::Verdict::Remove {
            left.push(format!("{bottle} ({} things)", things.len()));
        }
    }
    if left.is_empty() {
        return good("leftovers", "none".to_owned());
    }
    let next = "bottle cleanup".to_owned();
    Check { name: "leftovers", state: State::Note, found: left.join(", "), next }
}

fn good(name: &'static str, found: String) -> Check {
    Check { name, state: State::Good, found, next: String::new() }
}

fn bad(name: &'static str, found: String, next: String) -> Check {
    Check { name, state: State::Bad, found, next }
}
