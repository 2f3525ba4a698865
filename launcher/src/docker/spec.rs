//! From a plan's container to the engine's words for it.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount, MountType, NetworkingConfig,
};

use crate::names::{LABEL_BOTTLE, LABEL_LAUNCH, LABEL_ROLE, LABEL_VERSION, Role};
use crate::plan::{ContainerPlan, EnvSource, Place};

/// What one launch knows besides the plan.
#[derive(Debug, Clone)]
pub(super) struct Launching {
    pub(super) bottle: String,
    /// Differs from launch to launch.
    pub(super) id: String,
    pub(super) tty: bool,
    /// The closed network's id: names of networks need not be unique.
    pub(super) closed_network: String,
    /// Answers to the questions of the manifest, by variable.
    pub(super) answers: HashMap<String, String>,
}

pub(super) fn labels(launching: &Launching, role: &str) -> HashMap<String, String> {
    [
        (LABEL_BOTTLE, launching.bottle.as_str()),
        (LABEL_LAUNCH, launching.id.as_str()),
        (LABEL_ROLE, role),
        (LABEL_VERSION, env!("CARGO_PKG_VERSION")),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

pub(super) fn body(
    container: &ContainerPlan,
    command: Option<Vec<String>>,
    launching: &Launching,
) -> ContainerCreateBody {
    let agent = container.role == Role::Agent;
    let network = match &container.place {
        Place::Networks { .. } => launching.closed_network.clone(),
        Place::InsideOf(other) => format!("container:{other}"),
    };
    let endpoints = match &container.place {
        Place::Networks { alias, address, .. } => Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(
                launching.closed_network.clone(),
                EndpointSettings {
                    aliases: Some(vec![alias.clone()]),
                    ipam_config: Some(EndpointIpamConfig {
                        ipv4_address: Some(address.to_string()),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            )])),
        }),
        Place::InsideOf(_) => None,
    };
    ContainerCreateBody {
        // A container inside another's network has that one's name.
        hostname: endpoints.is_some().then(|| container.role.to_string()),
        user: Some(container.user.clone()),
        tty: Some(agent && launching.tty),
        open_stdin: Some(agent),
        // A terminal can be left and taken up again; a pipe ends.
        stdin_once: Some(agent && !launching.tty),
        env: Some(env(container, launching)),
        entrypoint: container.entrypoint.clone(),
        cmd: command,
        image: Some(container.image.clone()),
        working_dir: container.workdir.clone(),
        labels: Some(labels(launching, container.role.as_str())),
        // Readiness is asked for from the agent's side; an image's own check only costs.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        host_config: Some(host_config(container, network)),
        networking_config: endpoints,
        ..Default::default()
    }
}

fn host_config(container: &ContainerPlan, network: String) -> HostConfig {
    let mount = |mount: &crate::plan::MountPlan| Mount {
        target: Some(mount.target.clone()),
        source: mount.volume.clone(),
        typ: Some(MountType::VOLUME),
        ..Default::default()
    };
    let limits = container.limits;
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    HostConfig {
        network_mode: Some(network),
        mounts: Some(container.mounts.iter().map(mount).collect()),
        tmpfs: Some(container.tmpfs.clone().into_iter().collect()),
        readonly_rootfs: Some(container.read_only),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: some(container.capabilities.clone()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        sysctls: Some(container.sysctls.clone().into_iter().collect()),
        memory: Some(limits.memory),
        memory_swap: Some(limits.memory),
        nano_cpus: Some((limits.cpus * 1e9) as i64),
        pids_limit: Some(limits.pids),
        log_config: Some(log_config()),
        // Somebody must reap what an agent's shells leave behind.
        init: Some(container.role == Role::Agent),
        runtime: container.runtime.clone(),
        dns: some(container.dns.iter().map(ToString::to_string).collect()),
        dns_options: Some(vec!["timeout:1".to_owned(), "attempts:1".to_owned()]),
        extra_hosts: some(
            (container.extra_hosts.iter().map(|(host, ip)| format!("{host}:{ip}")))
                .chain(container.sidecars.iter().map(|(name, ip)| format!("{name}:{ip}")))
                .collect(),
        ),
        ..Default::default()
    }
}

/// The engine's default keeps everything that is said for ever, on the host's disk.
fn log_config() -> HostConfigLogConfig {
    let config = [("max-size", LOG_FILE), ("max-file", LOG_FILES)];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(config.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
    }
}

/// Each container's log takes at most the product of the two.
const LOG_FILE: &str = "16m";
const LOG_FILES: &str = "3";

fn env(container: &ContainerPlan, launching: &Launching) -> Vec<String> {
    let value = |variable: &crate::plan::EnvVar| match &variable.value {
        EnvSource::Literal(text) => text.clone(),
        EnvSource::Host { value, .. } => value.clone(),
        EnvSource::Asked(_) => launching.answers.get(&variable.name).cloned().unwrap_or_default(),
    };
    container.env.iter().map(|variable| format!("{}={}", variable.name, value(variable))).collect()
}
