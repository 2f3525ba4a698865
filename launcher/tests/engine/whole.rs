//! The whole thing: an agent clones, pushes, is refused a secret, calls an API with a credential it
//! never sees, and reaches nothing else.

use std::process::Command;

use crate::kit::{AGENT_IMAGE, Bench, await_that, succeed};
use crate::world::{HTTPS, api, host, origin};

const TOKEN: &str = "tok-5e0c9d7a1b3f";

// The token is put together inside, so that no scanner finds it in this file.
const SCRIPT: &str = r#"
cd /work/app && git remote get-url origin
echo second >> file && git commit -qam second && git push -q origin main && echo LANDED
printf 'token = "%s%s"\n' ghp_ x7Kd93mZqLp0VbT4sRw8YcNf2HgJ6aUe1oXi > config.py
git add . && git commit -qm 'add config' && git push origin main; echo "SECRET $?"
curl -sS http://cred-proxy:9099/api/v1/thing -H 'Authorization: Bearer mine'; env
curl -sS -m 10 https://example.com/ || echo OUTSIDE-CLOSED
curl -sS -m 3 --noproxy '*' http://198.51.100.7/ || echo ROUTE-CLOSED
exit 3
"#;

#[test]
fn an_agent_works_through_its_sidecars_and_reaches_nothing_else() {
    let Some(mut bench) = Bench::new("t-whole") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let host = host();
    let origin = origin(folder.path(), &host);
    let api = api(folder.path(), &host, HTTPS);
    bench.variables = vec![("A_TOKEN".to_owned(), TOKEN.to_owned())];
    bench.manifest(&format!(
        r#"
ca_file = "{ca}"
dns = ["{host}"]
[agent]
image = "{AGENT_IMAGE}"
command = ["sh", "-c", '''{SCRIPT}''']
clone = ["app"]
author = "Agent <agent@example.com>"
[egress]
private = ["api.test"]
[[git]]
name = "app"
upstream = "{upstream}"
identity_file = "{identity}"
known_host_key = "{host_key}"
extra_hosts = {{ "git.internal" = "{host}" }}
[[cred_proxy.routes]]
path = "/api/"
upstream = "{api}"
auth_scheme = "Bearer"
token_ref = "A_TOKEN"
"#,
        ca = api.ca.display(),
        upstream = origin.url,
        identity = origin.identity.display(),
        host_key = origin.host_key,
        api = api.url,
    ));
    let ran = bench.run();
    let shown = format!("{}\n{}", ran.out, ran.err);
    assert_eq!(ran.code, Some(3), "{shown}");
    assert_eq!(ran.out.lines().next(), Some("git://git-gate/app.git"), "{shown}");
    assert!(ran.out.contains("LANDED\n"), "{shown}");
    assert!(ran.out.contains("SECRET 1\n"), "{shown}");
    assert!(ran.err.contains("remote: "), "the refusal is seen: {shown}");
    assert!(ran.err.contains("config.py"), "it names the path: {shown}");
    assert!(ran.out.contains("hello from the api\n"), "{shown}");
    assert!(ran.out.contains("OUTSIDE-CLOSED") && ran.out.contains("ROUTE-CLOSED"), "{shown}");
    assert!(!shown.contains(TOKEN), "the agent saw the token: {shown}");
    let log = succeed(Command::new("git").args(["-C"]).arg(&origin.repository).args([
        "log",
        "--format=%s %an",
        "main",
    ]));
    assert_eq!(log, "second Agent\nfirst t\n");
    let seen = std::fs::read_to_string(&api.seen).expect("the API was asked");
    assert!(seen.starts_with("/v1/thing\n"), "{seen}");
    assert!(seen.contains(&format!("uthorization: Bearer {TOKEN}")), "{seen}");
    assert!(!seen.contains("mine"), "the agent's own header went through: {seen}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn an_upstream_that_shows_another_key_stops_the_launch_with_the_gates_words() {
    let Some(bench) = Bench::new("t-pin") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let host = host();
    let origin = origin(folder.path(), &host);
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";
    bench.manifest(&format!(
        "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"true\"]\nclone = [\"app\"]\n[[git]]\nname = \"app\"\n\
         upstream = \"{}\"\nidentity_file = \"{}\"\nknown_host_key = \"{other}\"\nextra_hosts = {{ \"git.internal\" = \"{host}\" }}\n",
        origin.url,
        origin.identity.display(),
    ));
    await_that("sshd listens", || {
        std::net::TcpStream::connect((host.as_str(), port(&origin.url))).is_ok()
    });
    let ran = bench.run();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("git ended with 128"), "{ran:?}");
    let words = ran.err.to_lowercase();
    assert!(words.contains("host key") || words.contains("pinned"), "{ran:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}

fn port(url: &str) -> u16 {
    let rest = url.rsplit("git.internal:").next().unwrap_or_default();
    rest.split('/').next().and_then(|port| port.parse().ok()).expect("the url has a port")
}
