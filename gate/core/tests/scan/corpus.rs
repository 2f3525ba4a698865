//! A corpus of pushes with the verdict a perfect gate has for each, where one is at hand.
//!
//! `GATE_CORPUS=DIR cargo test -p gate-core --test scan corpus -- --ignored --nocapture`, where `DIR/manifest.json` lists
//! bare repositories: `base` refs are the origin's, `updates` are pushed.

use std::path::{Path, PathBuf};

use gate_core::scan::{Allowed, Options, Scanner, Verdict};
use serde::Deserialize;

use crate::repo::Scene;
use crate::support::{options, scan_by};

#[derive(Deserialize)]
struct Case {
    id: String,
    expect: String,
    repo: String,
    base: std::collections::BTreeMap<String, String>,
    updates: Vec<Update>,
    r#where: Vec<Place>,
    secrets: Vec<String>,
    operator: Operator,
}

#[derive(Deserialize)]
struct Update {
    r#ref: String,
    new: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    commit: String,
    path: String,
    line: u64,
    rule: String,
}

#[derive(Deserialize)]
struct Operator {
    #[serde(default)]
    gitleaksignore: Vec<String>,
}

#[tokio::test]
#[ignore = "wants a corpus"]
async fn every_case_of_the_corpus_has_its_verdict() {
    let dir =
        PathBuf::from(std::env::var_os("GATE_CORPUS").expect("GATE_CORPUS names a directory"));
    let manifest = std::fs::read(dir.join("manifest.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&manifest).unwrap();
    let mut wrong = 0;
    for case in &cases {
        let verdict = judge(&dir, case).await;
        if let Err(why) = verdict {
            wrong += 1;
            println!("{} {}: {why}", case.expect, case.id);
        }
    }
    println!("{} passed, {wrong} failed", cases.len() - wrong);
    assert_eq!(wrong, 0);
}

#[expect(clippy::print_stdout, reason = "the run is read by a person")]
async fn judge(dir: &Path, case: &Case) -> Result<(), String> {
    let null = "0".repeat(40);
    let updates = case.updates.iter().filter(|update| update.new != null);
    let scene = Scene {
        source: dir.join(&case.repo),
        base: case.base.clone().into_iter().collect(),
        updates: updates.map(|update| (update.r#ref.clone(), update.new.clone())).collect(),
    };
    let stage = match scene.connect() {
        Ok(stage) => stage,
        Err(error) if case.expect == "reject" => {
            println!("  {} is refused by the store: {error}", case.id);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let broken = stage.broken.clone();
    let allowed = Allowed::parse(&case.operator.gitleaksignore).unwrap();
    let scanner = Scanner::new(Options { allowed, ..options() });
    let verdict = scan_by(&scanner, stage.pushed).await.map_err(|error| format!("{error:?}"))?;
    match (verdict, case.expect.as_str()) {
        (Verdict::Clean(_), expect) if (expect == "accept") == broken.is_none() => Ok(()),
        (Verdict::Clean(_), _) => Err("nothing was found".to_owned()),
        (Verdict::Found(_, refusal), "accept") => Err(refusal.lines().join(" | ")),
        (Verdict::Found(_, refusal), _) => {
            let said = refusal.lines().join("\n") + &refusal.reason();
            if case.secrets.iter().any(|secret| said.contains(secret)) {
                return Err("the secret is shown".to_owned());
            }
            for place in &case.r#where {
                let here = refusal.findings.iter().any(|finding| {
                    let path = finding.path.to_string();
                    let inner = path.split('!').next().unwrap_or(&path);
                    let exact = inner == place.path || place.path.contains('…');
                    finding.rule == place.rule
                        && exact
                        && (finding.line == place.line || path != inner)
                        && finding.commit.is_some_and(|id| id.to_hex() == place.commit)
                });
                if !here {
                    return Err(format!(
                        "not where it should be, {place:?}: {:?}",
                        refusal.findings
                    ));
                }
            }
            Ok(())
        }
    }
}
