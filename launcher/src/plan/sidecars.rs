//! The containers that are trusted, and trusted with as little as can be.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::bundle::SIDECAR_UID;
use super::{ContainerPlan, Content, EnvVar, FilePlan, MountPlan, Place};
use crate::manifest::{Limits, Manifest};
use crate::names::Role;
use crate::render::{self, cred_proxy, gate};

/// pipelock's image runs as root when nobody says otherwise.
const PIPELOCK_UID: u32 = 65_534;
const PIPELOCK_CONFIG: &str = "/etc/pipelock/pipelock.yaml";

pub(super) fn pipelock(manifest: &Manifest, image: String) -> ContainerPlan {
    let listen = format!("0.0.0.0:{}", render::pipelock::PORT);
    let mode = manifest.egress.mode.as_str();
    let command = ["run", "-c", PIPELOCK_CONFIG, "-l", &listen, "-m", mode];
    ContainerPlan {
        command: Some(command.map(str::to_owned).into()),
        user: format!("{PIPELOCK_UID}:{PIPELOCK_UID}"),
        mounts: vec![anonymous("/etc/pipelock")],
        files: vec![FilePlan {
            path: PIPELOCK_CONFIG.into(),
            mode: 0o440,
            uid: PIPELOCK_UID,
            gid: PIPELOCK_UID,
            content: Content::Text(render::pipelock::config(manifest)),
        }],
        ..sidecar(manifest, Role::Pipelock, image, true)
    }
}

pub(super) fn git_gate(manifest: &Manifest, image: String) -> Result<ContainerPlan, gate::Error> {
    let mut files = vec![file(gate::CONFIG, 0o400, Content::Text(gate::config(manifest)?))];
    for upstream in &manifest.git {
        let folder = gate::folder(upstream);
        files.push(file(&folder, 0o500, Content::Folder));
        if !upstream.host_keys.is_empty() {
            let known_hosts = Content::Text(gate::known_hosts(upstream));
            files.push(file(&format!("{folder}/known_hosts"), 0o400, known_hosts));
        }
        if let Some(identity) = &upstream.identity_file {
            let source = crate::manifest::SecretSource::HostFile(identity.clone());
            files.push(file(&format!("{folder}/identity"), 0o400, Content::Secret(source)));
        }
        if let Some(token) = &upstream.token {
            files.push(file(&format!("{folder}/token"), 0o400, Content::Secret(token.clone())));
        }
    }
    Ok(ContainerPlan {
        command: Some(["serve", "--config", gate::CONFIG].map(str::to_owned).into()),
        mounts: ["/etc/git-gate", gate::CREDS, gate::DATA].map(anonymous).into(),
        extra_hosts: manifest.extra_hosts.clone(),
        files,
        ..sidecar(manifest, Role::GitGate, image, true)
    })
}

pub(super) fn cred_proxy(manifest: &Manifest, image: String) -> ContainerPlan {
    let mut files =
        vec![file(cred_proxy::CONFIG, 0o400, Content::Text(cred_proxy::config(manifest)))];
    for (index, route) in manifest.routes.iter().enumerate() {
        let token = Content::Secret(route.token.clone());
        files.push(file(&cred_proxy::token_file(index), 0o400, token));
    }
    if let Some(ca) = &manifest.ca_file {
        files.push(file(cred_proxy::CA, 0o400, Content::HostFile(ca.clone())));
    }
    ContainerPlan {
        command: Some(["--config", cred_proxy::CONFIG].map(str::to_owned).into()),
        mounts: ["/etc/cred-proxy", cred_proxy::TOKENS].map(anonymous).into(),
        files,
        // It goes out through pipelock, which is in the closed network: it needs no other.
        ..sidecar(manifest, Role::CredProxy, image, false)
    }
}

fn sidecar(manifest: &Manifest, role: Role, image: String, egress: bool) -> ContainerPlan {
    ContainerPlan {
        role,
        name: manifest.name.container(role),
        image,
        entrypoint: None,
        command: None,
        user: format!("{SIDECAR_UID}:{SIDECAR_UID}"),
        workdir: None,
        env: Vec::<EnvVar>::new(),
        mounts: Vec::new(),
        tmpfs: [("/tmp".to_owned(), "rw,noexec,nosuid,nodev,mode=1777,size=256m".to_owned())]
            .into(),
        read_only: true,
        capabilities: Vec::new(),
        sysctls: no_forwarding(),
        limits: manifest.limits.get(&role).copied().unwrap_or(Limits::default_of(role)),
        // Those two resolve names outside, by the engine's resolver: a runtime with a network stack of its
        // own (gVisor, Kata) does not have it.
        runtime: manifest.runtime.clone().filter(|_| role == Role::CredProxy),
        dns: manifest.dns.clone(),
        extra_hosts: BTreeMap::new(),
        sidecars: BTreeMap::new(),
        place: Place::Networks {
            alias: role.as_str().to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            egress,
        },
        files: Vec::new(),
    }
}

/// A container with two networks is a router unless it is told not to be.
fn no_forwarding() -> BTreeMap<String, String> {
    [
        ("net.ipv4.ip_forward", "0"),
        ("net.ipv4.conf.all.forwarding", "0"),
        ("net.ipv4.conf.default.forwarding", "0"),
        ("net.ipv6.conf.all.disable_ipv6", "1"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

pub(super) fn anonymous(target: &str) -> MountPlan {
    MountPlan { volume: None, target: target.to_owned() }
}

fn file(path: &str, mode: u32, content: Content) -> FilePlan {
    FilePlan { path: path.to_owned(), mode, uid: SIDECAR_UID, gid: SIDECAR_UID, content }
}
