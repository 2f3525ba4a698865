//! A secret's value is in the one file it was copied to, and nowhere else.

use std::process::Command;

use crate::kit::{AGENT_IMAGE, Bench, docker};

const TOKEN: &str = "tok-4f9a1c77e2b8d3";
const KEY: &str = "PRIVATE-KEY-9c1d55aa07";

#[test]
fn no_secret_is_in_arguments_labels_images_inspection_or_logs() {
    let Some(mut bench) = Bench::new("t-secret") else { return };
    std::fs::write(bench.home.path().join("key"), KEY).expect("a file");
    bench.variables = vec![("A_TOKEN".to_owned(), TOKEN.to_owned())];
    let host_key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    bench.manifest(&format!(
        r#"
[agent]
image = "{AGENT_IMAGE}"
command = ["sh", "-c", "sleep 600"]
[[git]]
name = "app"
upstream = "ssh://git@git.internal:22/app.git"
identity_file = "~/key"
known_host_key = "{host_key}"
extra_hosts = {{ "git.internal" = "198.51.100.9" }}
[[cred_proxy.routes]]
path = "/api/"
upstream = "https://api.test"
auth_scheme = "Bearer"
token_ref = "A_TOKEN"
"#
    ));
    let plan = bench.bottle(&["plan", bench.name]);
    let plan_json = bench.bottle(&["plan", "--json", bench.name]);
    let ran = bench.bottle(&["run", "--detach", bench.name]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut seen = vec![
        ("plan", format!("{plan:?}")),
        ("plan --json", format!("{plan_json:?}")),
        ("run", format!("{ran:?}")),
        ("logs", format!("{:?}", bench.bottle(&["logs", bench.name]))),
        ("ls", format!("{:?}", bench.bottle(&["ls", "--json"]))),
    ];
    for role in ["pipelock-t-secret", "git-gate-t-secret", "cred-proxy-t-secret", "t-secret"] {
        let name = format!("bottle-{role}");
        seen.push(("inspect", docker(&["inspect", &name])));
        seen.push(("top", docker(&["top", &name, "-eo", "pid,args"])));
        let logs = Command::new("docker").args(["logs", &name]).output().expect("docker");
        seen.push(("container's log", format!("{logs:?}")));
        let image = docker(&["inspect", "-f", "{{.Image}}", &name]);
        seen.push(("image", docker(&["inspect", &image])));
        seen.push(("history", docker(&["history", "--no-trunc", &image])));
    }
    let agent = bench.bottle(&[
        "exec",
        bench.name,
        "sh",
        "-c",
        "env; cat ~/.gitconfig /proc/1/environ; ls -R /run",
    ]);
    seen.push(("the agent", format!("{agent:?}")));
    for (what, text) in seen {
        for secret in [TOKEN, KEY] {
            assert!(!text.contains(secret), "{secret} is in {what}: {text}");
        }
    }
    // Where they are meant to be, only the sidecar's user may read them.
    for (container, file, secret) in [
        ("bottle-git-gate-t-secret", "/run/git-gate/creds/app/identity", KEY),
        ("bottle-cred-proxy-t-secret", "/run/cred-proxy/tokens/0", TOKEN),
    ] {
        let tar = Command::new("docker")
            .args(["cp", &format!("{container}:{file}"), "-"])
            .output()
            .expect("docker");
        let mut archive = tar::Archive::new(tar.stdout.as_slice());
        let mut entry = archive.entries().expect("a tar").next().expect("a file").expect("whole");
        assert_eq!(entry.header().mode().expect("a mode") & 0o777, 0o400);
        assert_eq!(entry.header().uid().expect("a user"), 65_532);
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("text");
        assert_eq!(content, secret);
    }
    // The hosts of upstreams are known to the gate alone.
    for (role, knows) in
        [("git-gate-", true), ("pipelock-", false), ("cred-proxy-", false), ("", false)]
    {
        let name = format!("bottle-{role}t-secret");
        let hosts = docker(&["inspect", "-f", "{{.HostConfig.ExtraHosts}}", &name]);
        assert_eq!(hosts.contains("git.internal:198.51.100.9"), knows, "{name}: {hosts}");
    }
    assert_eq!(bench.bottle(&["stop", "-t", "0", bench.name]).code, Some(0));
    assert_eq!(bench.left(), Vec::<String>::new());
}
