use super::*;

struct Given {
    dir: tempfile::TempDir,
    host: Host,
}

fn given() -> Given {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "x").unwrap();
    std::fs::write(dir.path().join("token"), "x").unwrap();
    let variables = [("EDITOR", "vi"), ("TOKEN", "t0ps3cret")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let host = Host { variables, home: dir.path().to_owned() };
    Given { dir, host }
}

fn parse(text: &str) -> Result<Manifest, String> {
    let given = given();
    let name = BottleName::parse("demo").unwrap();
    read(text, Path::new("demo.toml"), name, &given.host)
        .map_err(|problems| problems.to_string().replace(given.dir.path().to_str().unwrap(), "~"))
}

fn wrong(text: &str) -> String {
    parse(text).expect_err("the manifest is wrong")
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn git(name: &str, upstream: &str, more: &str) -> String {
    format!(
        "[[git]]\nname = \"{name}\"\nupstream = \"{upstream}\"\nidentity_file = \"~/key\"\nknown_host_key = \"{KEY}\"\n{more}\n"
    )
}

#[test]
fn reads_the_manifest_of_the_design() {
    let text = format!(
        r#"
        [agent]
        image = "my-agent:1"
        command = ["claude", "--dangerously-skip-permissions"]
        workdir = "/work"
        clone = ["app"]
        env = {{ LANG = "C.UTF-8", EDITOR = "${{EDITOR}}", TICKET = "?which ticket" }}
        [egress]
        mode = "strict"
        allow = ["api.anthropic.com", "api.github.com"]
        [[git]]
        name = "app"
        upstream = "ssh://git@git.internal:22/acme/app.git"
        identity_file = "~/key"
        known_host_key = "{KEY}"
        extra_hosts = {{ "git.internal" = "10.0.0.5" }}
        [[cred_proxy.routes]]
        path = "/anthropic/"
        upstream = "https://api.anthropic.com"
        auth_scheme = "Bearer"
        token_ref = "TOKEN"
        "#
    );
    let manifest = parse(&text).unwrap();
    assert_eq!(
        manifest.agent.env["EDITOR"],
        EnvValue::FromHost { variable: "EDITOR".into(), value: "vi".into() }
    );
    assert_eq!(manifest.agent.env["TICKET"], EnvValue::Asked("which ticket".into()));
    assert_eq!(manifest.extra_hosts["git.internal"], IpAddr::from([10, 0, 0, 5]));
    assert_eq!(manifest.routes[0].token, SecretSource::HostVariable("TOKEN".into()));
    assert_eq!(manifest.git[0].host_keys, [KEY]);
}

#[test]
fn says_all_that_is_wrong_at_once() {
    let text = r#"
runtim = "runsc"
[agent]
imge = "x"
user = "0:0"
clone = ["ap"]
env = { A = "${NOT_SET}", B = 1 }
[egress]
mode = "strct"
allow = ["https://api.x.com:443/", "*"]
[[git]]
name = "app"
upstream = "ssh://git@git.internal/acme/app.git"
identity_file = "~/missing"
[[git]]
name = "app"
upstream = "file:///srv/app.git"
known_host_key = "nonsense"
[[cred_proxy.routes]]
path = "/a/"
upstream = "http://x.com"
auth_scheme = "Baerer"
token_ref = "UNSET"
[[cred_proxy.routes]]
path = "anthropic"
upstream = "https://x.com"
auth_scheme = "Bearer"
[limits.agent]
memory = "2 gigs"
"#;
    insta::assert_snapshot!(wrong(text));
}

#[test]
fn a_broken_line_is_shown_with_its_place() {
    insta::assert_snapshot!(wrong("[agent]\nimage = \"x\ncommand = []\n"));
}

#[test]
fn two_repositories_and_two_routes_of_one_name_are_refused() {
    let route = "[[cred_proxy.routes]]\npath = \"/a/\"\nupstream = \"https://x.com\"\nauth_scheme = \"token\"\ntoken_ref = \"TOKEN\"\n";
    let text = format!(
        "[agent]\nimage = \"x\"\n{}{}{route}{route}",
        git("app", "ssh://h/a", ""),
        git("app", "ssh://h/b", "")
    );
    insta::assert_snapshot!(wrong(&text));
}

#[test]
fn hosts_of_all_upstreams_merge_into_one_map() {
    let both = |first: &str, second: &str| {
        format!(
            "[agent]\nimage = \"x\"\n{}{}",
            git("one", "ssh://h/a", first),
            git("two", "ssh://h/b", second)
        )
    };
    let a = "extra_hosts = { h = \"10.0.0.1\", b = \"10.0.0.9\" }";
    let same = "extra_hosts = { H = \"10.0.0.1\" }";
    let merged = parse(&both(a, same)).unwrap().extra_hosts;
    assert_eq!(merged.len(), 2);
    assert!(parse(&both("", "extra_hosts = {}")).unwrap().extra_hosts.is_empty());
    insta::assert_snapshot!(wrong(&both(a, "extra_hosts = { h = \"10.0.0.2\" }")));
}

#[test]
fn egress_never_opens_the_host_of_a_git_upstream() {
    for (egress, refused) in [
        ("allow = [\"git.internal\"]", true),
        ("allow = [\"*.internal\"]", true),
        ("allow = [\"GIT.internal.\"]", true),
        ("allow = [\"api.git.internal\", \"internal\"]", false),
        ("mode = \"audit\"", true),
    ] {
        let text = format!(
            "[agent]\nimage = \"x\"\n[egress]\n{egress}\n{}",
            git("app", "git@git.internal:a.git", "")
        );
        match parse(&text) {
            Ok(_) => assert!(!refused, "{egress}"),
            Err(shown) => {
                assert!(refused, "{egress}: {shown}");
                assert!(shown.contains("around the gate"), "{shown}");
            }
        }
    }
}

#[test]
fn a_route_to_the_host_of_a_git_upstream_is_refused() {
    let text = format!(
        "[agent]\nimage = \"x\"\n{}[[cred_proxy.routes]]\npath = \"/a/\"\nupstream = \"https://git.internal/api\"\nauth_scheme = \"token\"\ntoken_ref = \"TOKEN\"\n",
        git("app", "git@git.internal:a.git", "")
    );
    assert!(wrong(&text).contains("around the gate"));
}

#[test]
fn files_are_the_agents_and_lie_in_its_volumes() {
    let agent = |files: &str| format!("[agent]\nimage = \"x\"\n[agent.files]\n{files}\n");
    let read =
        parse(&agent("\"~/.a/b.json\" = \"{}\"\n\"/work/key\" = { file = \"~/key\" }")).unwrap();
    let files: Vec<_> = read.agent.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["/work/key", "/home/agent/.a/b.json"]);
    for (files, says) in [
        ("\"/etc/passwd\" = \"\"", "no file below /home/agent or /work"),
        ("\"/work/../etc/x\" = \"\"", "no file below"),
        ("\"/work\" = \"\"", "no file below"),
        ("\"~/.gitconfig\" = \"\"", "bottle writes `~/.gitconfig` itself"),
        ("\"~/x\" = 1", "is an integer"),
        ("\"~/x\" = { file = \"~/missing\" }", "cannot be read: No such file"),
        ("\"~/x\" = { fil = \"~/key\" }", "unknown key `fil`"),
    ] {
        let shown = wrong(&agent(files));
        assert!(shown.contains(says), "{files}: {shown}");
    }
    for start in ["/app", "../x", "", "a//b"] {
        assert!(
            wrong(&format!("[agent]\nimage = \"x\"\nstart_in = \"{start}\"\n"))
                .contains("not a folder below /work")
        );
    }
}

#[test]
fn a_secret_never_stands_in_a_problem() {
    let shown = wrong("[agent]\nimage = \"x\"\nenv = { A = \"${TOKEN}\" }\nzzz = 1\n");
    assert!(!shown.contains("t0ps3cret"));
    let host = given().host;
    assert!(!format!("{host:?}").contains("t0ps3cret"));
}

#[test]
fn what_init_writes_is_a_manifest() {
    use crate::template;
    assert!(parse(&template::plain("demo").manifest).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let claude = template::for_agent("demo", template::Known::Claude, folder.path());
    let (dockerfile, recipe) = claude.beside.unwrap();
    std::fs::create_dir_all(dockerfile.parent().unwrap()).unwrap();
    std::fs::write(dockerfile, recipe).unwrap();
    let shown = wrong(&claude.manifest);
    assert!(
        shown.contains("one problem") && shown.contains("ANTHROPIC_API_KEY is not set"),
        "{shown}"
    );
    // What is commented out is right as well, once its comment mark is gone.
    let all: String = template::plain("demo")
        .manifest
        .lines()
        .skip(3)
        .map(|line| line.strip_prefix("# ").unwrap_or(line).trim_start_matches("# "))
        .filter(|line| !line.starts_with("http") && !line.starts_with("token_ref = \"GIT"))
        .map(|line| format!("{line}\n"))
        .collect();
    let shown = wrong(&all);
    for fine in ["unknown key", "valid TOML", " is a string", " is an array"] {
        assert!(!shown.contains(fine), "{fine}: {shown}");
    }
}
