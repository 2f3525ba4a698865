//! Nothing in what is pushed switches the scan off; the operator may.

use std::fs;

use gate_core::scan::{Allowed, Scanner, Verdict};

use crate::support::{Push, options, token};

#[tokio::test]
async fn configuration_of_gitleaks_in_a_push_is_content_and_nothing_else() {
    let push = Push::new()
        .blob(
            ".gitleaks.toml",
            format!(
                "# {}\n[extend]\nuseDefault = true\n[[allowlists]]\npaths = ['''.*''']\n",
                token("t")
            ),
        )
        .blob(".gitleaksignore", "conf.py:github-pat:1\n./conf.py:github-pat:1\n")
        .blob(".gitattributes", "* -diff\n")
        .blob("conf.py", format!("T = '{}'  # gitleaks:allow\n", token("c")));
    let found: Vec<_> =
        push.findings().await.into_iter().map(|f| (f.path.to_string(), f.line)).collect();
    assert_eq!(found, [(".gitleaks.toml".to_owned(), 1), ("conf.py".to_owned(), 1)]);
}

#[tokio::test]
async fn no_name_exempts_a_file() {
    let mut push = Push::new();
    let names = [
        "node_modules/x/index.js",
        "package-lock.json",
        "assets/logo.svg",
        "vendor/github.com/a/b/c.go",
        "go.sum",
        "venv/lib/conf.py",
        "docs/gitleaks.toml.md",
        "static/jquery.js",
        "data/blob.bin",
        "x.dist-info/y",
        "a.gem",
        "@octokit/auth-token/README.md",
        "rules.toml",
        "empty/x",
    ];
    for name in names {
        push = push.blob(name, format!("x = '{}'\n", token(name)));
    }
    assert_eq!(push.findings().await.len(), names.len());
}

#[tokio::test]
async fn lock_files_and_placeholders_are_clean() {
    let hash = |seed: &str| crate::support::random(seed, 86, crate::support::ALNUM) + "==";
    let names = ["jsonwebtoken", "secret-handshake", "api-key-auth", "passport", "token-types"];
    let lock: String = names
        .iter()
        .map(|name| {
            format!("\"node_modules/{name}\": {{ \"integrity\": \"sha512-{}\" }},\n", hash(name))
        })
        .collect();
    let sums: String = (0..50)
        .map(|i| format!("example.com/token/v{i} v1.{i}.0 h1:{}\n", hash(&i.to_string())))
        .collect();
    let readme = format!(
        "export AWS_ACCESS_KEY_ID=AKIA{}\nGITHUB_TOKEN=gh{}{}\npassword = ${{DB_PASSWORD}}\n",
        "IOSFODNN7EXAMPLE",
        "p_",
        "x".repeat(36)
    );
    let push =
        Push::new().blob("package-lock.json", lock).blob("go.sum", sums).blob("README.md", readme);
    assert!(push.findings().await.is_empty());
}

#[tokio::test]
async fn the_operator_allows_a_finding_by_its_fingerprint() {
    let push = Push::new().blob("tests/fixture.py", format!("a = 1\nT = '{}'\n", token("f")));
    let finding = push.clone().findings().await.remove(0);
    let by_gitleaks = format!("{}:tests/fixture.py:github-pat:2", "c".repeat(40));
    for fingerprint in [finding.fingerprint(), by_gitleaks] {
        let allowed = Allowed::parse(&[fingerprint]).unwrap();
        let scanner = Scanner::new(gate_core::scan::Options { allowed, ..options() });
        let verdict = push.clone().scan_by(&scanner).await.unwrap();
        assert!(matches!(verdict, Verdict::Clean(summary) if summary.allowed == 1), "{verdict:?}");
        let moved = Push::new()
            .blob("x", "x")
            .blob("tests/fixture.py", format!("a = 1\n\nT = '{}'\n", token("f")));
        assert!(matches!(moved.scan_by(&scanner).await.unwrap(), Verdict::Found(..)));
    }
}

#[tokio::test]
async fn the_operator_adds_rules_and_exemptions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ours.toml");
    fs::write(
        &file,
        "[[rules]]\nid = \"acme-ticket\"\ndescription = \"a ticket\"\nregex = '''ACME-[0-9]{6}'''\n\
         [[allowlists]]\npaths = ['''^docs/''']\n",
    )
    .unwrap();
    let scanner = Scanner::new(gate_core::scan::Options { rules: vec![file], ..options() });
    let push = Push::new()
        .blob("a.txt", "see ACME-123456\n")
        .blob("docs/a.txt", format!("ACME-654321 {}\n", token("d")));
    let Verdict::Found(_, refusal) = push.scan_by(&scanner).await.unwrap() else {
        panic!("nothing found")
    };
    let found: Vec<_> =
        refusal.findings.iter().map(|f| (f.rule.as_str(), f.path.to_string())).collect();
    assert_eq!(found, [("acme-ticket", "a.txt".to_owned())]);
}
