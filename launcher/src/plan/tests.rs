use super::show::Text;
use super::*;
use crate::host::Host;
use std::path::Path;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn facts() -> Facts {
    let bundle = |role: Role| Bundle {
        reference: format!("bottle/{role}:1-abc"),
        dockerfile: "FROM scratch",
        programs: Vec::new(),
        folders: &[],
    };
    Facts {
        bundles: [Role::GitGate, Role::CredProxy, Role::Probe]
            .map(|role| (role, bundle(role)))
            .into(),
        guest: Some("/opt/bottle/bottle-guest".into()),
        ..Facts::default()
    }
}

fn plan_of(text: &str) -> (Plan, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "THE-PRIVATE-KEY").unwrap();
    let variables = [("TOKEN", "t0ps3cret"), ("EDITOR", "hostvalue")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let host = Host { variables, home: dir.path().to_owned() };
    let name = BottleName::parse("demo").unwrap();
    let manifest = crate::manifest::read(text, Path::new("demo.toml"), name, &host).unwrap();
    (plan(&manifest, &facts()).unwrap(), dir)
}

fn full() -> String {
    format!(
        r#"
[agent]
image = "my-agent:1"
command = ["claude"]
clone = ["acme/app"]
env = {{ EDITOR = "${{EDITOR}}", TICKET = "?which ticket" }}
[egress]
allow = ["api.github.com"]
[[git]]
name = "acme/app"
upstream = "ssh://git@git.internal:22/acme/app.git"
identity_file = "~/key"
known_host_key = "{KEY}"
extra_hosts = {{ "git.internal" = "10.0.0.5" }}
[[cred_proxy.routes]]
path = "/anthropic/"
upstream = "https://api.anthropic.com"
auth_scheme = "Bearer"
token_ref = "TOKEN"
[self_test]
outside = ["203.0.113.9:443"]
dns = []
lan = []
metadata = []
ipv6 = []
"#
    )
}

#[test]
fn shows_everything_a_launch_does() {
    let (plan, dir) = plan_of(&full());
    let shown = Text(&plan).to_string().replace(dir.path().to_str().unwrap(), "~");
    insta::assert_snapshot!(shown);
}

#[test]
fn no_secret_stands_in_a_plan() {
    let (plan, _dir) = plan_of(&full());
    let shown = format!("{}{}", Text(&plan), serde_json::to_string(&plan).unwrap());
    for secret in ["t0ps3cret", "hostvalue", "THE-PRIVATE-KEY"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn only_what_is_declared_is_made() {
    let (plan, _dir) = plan_of("[agent]\nimage = \"x\"\n");
    let roles: Vec<Role> = plan.containers.iter().map(|container| container.role).collect();
    assert_eq!(roles, [Role::Pipelock, Role::Agent, Role::Probe]);
    assert!(plan.containers.iter().all(|container| container.extra_hosts.is_empty()));
}

#[test]
fn extra_hosts_are_the_gates_alone() {
    let (plan, _dir) = plan_of(&full());
    for container in &plan.containers {
        assert_eq!(container.extra_hosts.is_empty(), container.role != Role::GitGate);
    }
}

#[test]
fn only_the_probe_has_capabilities_and_nobody_routes() {
    let (plan, _dir) = plan_of(&full());
    for container in &plan.containers {
        assert_eq!(container.capabilities.is_empty(), container.role != Role::Probe);
        if let Place::Networks { egress: true, .. } = container.place {
            assert_eq!(container.sysctls["net.ipv4.ip_forward"], "0");
        }
    }
}

#[test]
fn a_runtime_is_for_those_that_ask_no_resolver() {
    let (plan, _dir) = plan_of(&format!("runtime = \"runsc\"\n{}", full()));
    for container in &plan.containers {
        let own = matches!(container.role, Role::Agent | Role::CredProxy);
        assert_eq!(container.runtime.is_some(), own, "{}", container.role);
        let knows = container.sidecars.keys().map(String::as_str).collect::<Vec<_>>();
        let expected: &[&str] = match container.role {
            Role::Agent => &["cred-proxy", "git-gate", "pipelock"],
            Role::CredProxy => &["pipelock"],
            Role::Pipelock | Role::GitGate | Role::Probe => &[],
        };
        assert_eq!(knows, expected, "{}", container.role);
    }
}

#[test]
fn renders_what_each_sidecar_reads() {
    let (plan, _dir) = plan_of(&full());
    let mut rendered = String::new();
    for file in plan.containers.iter().flat_map(|container| &container.files) {
        if let Content::Text(text) = &file.content {
            // The gate's defaults are the gate's own affair.
            let text = text.find("[[repo]]").map_or(text.as_str(), |at| &text[at..]);
            rendered.push_str(&format!("=== {}\n{text}\n", file.path));
        }
    }
    insta::assert_snapshot!(rendered);
}

#[test]
fn the_gate_reads_what_is_rendered_for_it() {
    let (plan, _dir) = plan_of(&full());
    let gate = plan.container(Role::GitGate).unwrap();
    let Content::Text(text) = &gate.files[0].content else { panic!("the config comes first") };
    let config = gate_config::Config::from_toml(text).unwrap();
    assert_eq!(config.repos.len(), 1);
}
