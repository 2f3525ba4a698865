//! The untrusted container, and the one that proves its network closed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::sidecars::anonymous;
use super::{ClonePlan, ContainerPlan, Content, EnvSource, EnvVar, FilePlan, MountPlan, Place};
use crate::guest::hold;
use crate::guest::spec::Spec;
use crate::manifest::{Agent, EnvValue, FileContent, Limits, Manifest};
use crate::names::Role;
use crate::render::{cred_proxy, gitconfig, pipelock};

const CA: &str = "/run/bottle/ca.pem";
const ROOTS: &str = "/run/bottle/roots.pem";

pub(super) fn agent(manifest: &Manifest, image: String, guest: PathBuf) -> ContainerPlan {
    let agent = &manifest.agent;
    let volume = |volume: String, target: &str| MountPlan {
        volume: Some(volume),
        target: target.to_owned(),
    };
    let tmp = "rw,exec,nosuid,nodev,mode=1777,size=1g".to_owned();
    ContainerPlan {
        role: Role::Agent,
        name: manifest.name.container(Role::Agent),
        image,
        entrypoint: Some(hold_back(agent.start_in.as_deref())),
        command: (!agent.command.is_empty()).then(|| agent.command.clone()),
        user: format!("{}:{}", agent.uid, agent.gid),
        workdir: Some(agent.workdir.clone()),
        env: env(manifest),
        mounts: vec![
            volume(manifest.name.work_volume(), &agent.workdir),
            volume(manifest.name.home_volume(), &agent.home),
            anonymous(hold::FOLDER),
        ],
        tmpfs: [("/tmp".to_owned(), tmp.clone()), ("/var/tmp".to_owned(), tmp)].into(),
        read_only: agent.read_only,
        capabilities: Vec::new(),
        sysctls: [("net.ipv6.conf.all.disable_ipv6".to_owned(), "1".to_owned())].into(),
        limits: manifest
            .limits
            .get(&Role::Agent)
            .copied()
            .unwrap_or(Limits::default_of(Role::Agent)),
        runtime: manifest.runtime.clone(),
        // Names outside are for pipelock to resolve. The engine's resolver would ask for them on the
        // host's behalf (CVE-2024-29018); here it finds nobody to ask, and at once.
        dns: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        extra_hosts: BTreeMap::new(),
        sidecars: BTreeMap::new(),
        place: Place::Networks {
            alias: "agent".to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            egress: false,
        },
        files: files(manifest, guest),
    }
}

pub(super) fn probe(manifest: &Manifest, image: String, spec: &Spec) -> ContainerPlan {
    let agent = &manifest.agent;
    let folder = |path: &str, mode| FilePlan {
        path: path.to_owned(),
        mode,
        uid: agent.uid,
        gid: agent.gid,
        content: Content::Folder,
    };
    let spec = serde_json::to_string(spec).expect("a spec has a JSON form");
    ContainerPlan {
        role: Role::Probe,
        name: manifest.name.container(Role::Probe),
        image,
        entrypoint: None,
        command: Some(vec!["prove".to_owned(), spec]),
        user: "0:0".to_owned(),
        workdir: None,
        env: Vec::new(),
        mounts: vec![
            MountPlan { volume: Some(manifest.name.work_volume()), target: agent.workdir.clone() },
            MountPlan { volume: Some(manifest.name.home_volume()), target: agent.home.clone() },
        ],
        tmpfs: BTreeMap::new(),
        // Its root takes the folders' owner on to the volumes, which a volume itself cannot be given.
        read_only: false,
        capabilities: ["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"].map(str::to_owned).into(),
        sysctls: BTreeMap::new(),
        limits: Limits::default_of(Role::Probe),
        // From beside, only the engine's own sees the namespace as it is.
        runtime: None,
        dns: Vec::new(),
        extra_hosts: BTreeMap::new(),
        sidecars: BTreeMap::new(),
        place: Place::InsideOf(manifest.name.container(Role::Agent)),
        files: vec![folder(&agent.workdir, 0o755), folder(&agent.home, 0o755)],
    }
}

pub(super) fn clones(manifest: &Manifest) -> Vec<ClonePlan> {
    let upstreams =
        manifest.git.iter().filter(|upstream| manifest.agent.clone.contains(&upstream.name.value));
    upstreams
        .map(|upstream| {
            let name = &upstream.name.value;
            let last = name.rsplit('/').next().unwrap_or(name);
            ClonePlan {
                // The real address, so that the agent sees the remote it knows; git goes to the gate.
                url: upstream.url.to_string(),
                folder: format!("{}/{last}", manifest.agent.workdir),
            }
        })
        .collect()
}

fn hold_back(start_in: Option<&str>) -> Vec<String> {
    let mut words = vec![hold::PROGRAM.to_owned(), "hold".to_owned()];
    words.extend(start_in.iter().flat_map(|folder| ["--in".to_owned(), (*folder).to_owned()]));
    words.push("--".to_owned());
    words
}

fn env(manifest: &Manifest) -> Vec<EnvVar> {
    let mut env: BTreeMap<String, EnvSource> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        env.insert(name.to_owned(), EnvSource::Literal(value.to_owned()));
    };
    set("HOME", &manifest.agent.home);
    set("BOTTLE", manifest.name.as_str());
    let proxy = format!("http://pipelock:{}", pipelock::PORT);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        set(name, &proxy);
        set(&name.to_ascii_lowercase(), &proxy);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, "localhost,127.0.0.1,pipelock,git-gate,cred-proxy");
    }
    if !manifest.routes.is_empty() {
        set("CRED_PROXY", &format!("http://cred-proxy:{}", cred_proxy::PORT));
    }
    if manifest.ca_file.is_some() {
        set("NODE_EXTRA_CA_CERTS", CA);
        for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"] {
            set(name, ROOTS);
        }
    }
    for (name, value) in &manifest.agent.env {
        let value = match value {
            EnvValue::Literal(text) => EnvSource::Literal(text.clone()),
            EnvValue::FromHost { variable, value } => {
                EnvSource::Host { variable: variable.clone(), value: value.clone() }
            }
            EnvValue::Asked(question) => EnvSource::Asked(question.clone()),
        };
        env.insert(name.clone(), value);
    }
    env.into_iter().map(|(name, value)| EnvVar { name, value }).collect()
}

fn files(manifest: &Manifest, guest: PathBuf) -> Vec<FilePlan> {
    let agent = &manifest.agent;
    let ours = |path: &str, mode, content| FilePlan {
        path: path.to_owned(),
        mode,
        uid: 0,
        gid: 0,
        content,
    };
    let mut files = vec![ours(hold::PROGRAM, 0o755, Content::HostFile(guest))];
    if let Some(ca) = &manifest.ca_file {
        files.push(ours(CA, 0o444, Content::HostFile(ca.clone())));
        files.push(ours(ROOTS, 0o444, Content::Roots { with: ca.clone() }));
    }
    files.push(FilePlan {
        path: format!("{}/.gitconfig", agent.home),
        mode: 0o644,
        uid: agent.uid,
        gid: agent.gid,
        content: Content::Text(gitconfig::gitconfig(manifest)),
    });
    for file in &agent.files {
        let content = match &file.content {
            FileContent::Text(text) => Content::Text(text.clone()),
            FileContent::HostFile(path) => Content::HostFile(path.clone()),
        };
        add_own(agent, &file.path, content, &mut files);
    }
    files
}

/// A file that the agent may change, with the folders it lies in.
fn add_own(agent: &Agent, path: &str, content: Content, files: &mut Vec<FilePlan>) {
    let own = |path: &str, mode, content| FilePlan {
        path: path.to_owned(),
        mode,
        uid: agent.uid,
        gid: agent.gid,
        content,
    };
    let volume = [&agent.home, &agent.workdir]
        .into_iter()
        .filter(|volume| path.starts_with(&format!("{volume}/")))
        .max_by_key(|volume| volume.len());
    let begin = volume.map_or(0, |volume| volume.len() + 1);
    for (end, _) in path.match_indices('/').filter(|(end, _)| *end > begin) {
        if !files.iter().any(|file| file.path == path[..end]) {
            files.push(own(&path[..end], 0o755, Content::Folder));
        }
    }
    files.push(own(path, 0o644, content));
}
