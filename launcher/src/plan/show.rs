//! A plan for people. The one for programs is its JSON.

use std::fmt::{self, Display, Formatter};

use super::{ContainerPlan, Content, EnvSource, ImageFrom, Place, Plan};
use crate::guest::spec::By;
use crate::manifest::SecretSource;
use crate::names::Role;

/// The plan as text.
#[derive(Debug)]
pub struct Text<'p>(pub &'p Plan);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        writeln!(f, "bottle {}", plan.bottle)?;
        writeln!(f, "\nimages")?;
        for image in &plan.images {
            let from = match &image.from {
                ImageFrom::Registry => "pulled when missing".to_owned(),
                ImageFrom::Bundle(_) => "assembled here when missing".to_owned(),
                ImageFrom::Dockerfile { dockerfile, .. } => {
                    format!("built from {}", dockerfile.display())
                }
            };
            writeln!(f, "  {:<11} {}  ({from})", image.role, image.reference)?;
        }
        writeln!(f, "\nnetworks")?;
        for network in &plan.networks {
            let kind = if network.closed { "closed: no way out, no host" } else { "egress" };
            writeln!(f, "  {}  {}  {kind}", network.name, network.subnet)?;
        }
        writeln!(f, "\nvolumes\n  {}", plan.volumes.join("\n  "))?;
        writeln!(f, "\ncontainers")?;
        for container in &plan.containers {
            show_container(container, f)?;
        }
        if !plan.clone.is_empty() {
            writeln!(f, "\ncloned before the command starts")?;
            for clone in &plan.clone {
                writeln!(f, "  {} -> {}", clone.url, clone.folder)?;
            }
        }
        writeln!(f, "\nproved before the command starts")?;
        for sidecar in &plan.self_test.sidecars {
            writeln!(
                f,
                "  {} is ready at port {}, and does not route",
                sidecar.name, sidecar.port
            )?;
            for port in &sidecar.admin {
                writeln!(f, "  {} accepts nothing at port {port}", sidecar.name)?;
            }
        }
        for target in &plan.self_test.closed {
            let by = match target.by {
                By::Tcp => "TCP",
                By::Dns => "UDP",
            };
            writeln!(f, "  {} does not answer by {by} ({})", target.address, target.what)?;
        }
        writeln!(f, "  there is no IPv6 address, and the engine's resolver asks nobody outside")?;
        for note in &plan.notes {
            writeln!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

fn show_container(container: &ContainerPlan, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "  {}  ({})", container.name, container.image)?;
    let mut command = container.entrypoint.clone().unwrap_or_default();
    match &container.command {
        // What it is given is shown at the end, line by line.
        Some(words) if container.role == Role::Probe => command.extend(words.first().cloned()),
        Some(words) => command.extend(words.iter().cloned()),
        None => command.push("(the image's own)".to_owned()),
    }
    writeln!(f, "    runs      {}", command.join(" "))?;
    writeln!(f, "    as        {}", container.user)?;
    let place = match &container.place {
        Place::Networks { alias, address, egress } => format!(
            "closed network as {alias}, {address}{}",
            if *egress { "; and egress" } else { "" }
        ),
        Place::InsideOf(other) => format!("the network namespace of {other}"),
    };
    writeln!(f, "    in        {place}")?;
    let root = if container.read_only { "read-only root" } else { "writable root" };
    let kept = match container.capabilities.as_slice() {
        [] => "no capabilities".to_owned(),
        kept => kept.join(" "),
    };
    writeln!(f, "    may       {root}, {kept}")?;
    let limits = container.limits;
    writeln!(
        f,
        "    at most   {} MiB, {} cpus, {} processes",
        limits.memory >> 20,
        limits.cpus,
        limits.pids
    )?;
    for mount in &container.mounts {
        let volume = mount.volume.as_deref().unwrap_or("a volume of its own");
        writeln!(f, "    mount     {} = {volume}", mount.target)?;
    }
    for (folder, options) in &container.tmpfs {
        writeln!(f, "    tmpfs     {folder} ({options})")?;
    }
    for (host, address) in &container.extra_hosts {
        writeln!(f, "    host      {host} = {address}")?;
    }
    for (sidecar, address) in &container.sidecars {
        writeln!(f, "    knows     {sidecar} = {address}")?;
    }
    for file in &container.files {
        let content = match &file.content {
            Content::Text(_) => "written by bottle".to_owned(),
            Content::Secret(SecretSource::HostVariable(name)) => format!("secret, from ${name}"),
            Content::Secret(SecretSource::HostFile(path)) => {
                format!("secret, from {}", path.display())
            }
            Content::HostFile(path) => format!("from {}", path.display()),
            Content::Roots { with } => format!("the image's roots and {}", with.display()),
            Content::Folder => "folder".to_owned(),
        };
        writeln!(
            f,
            "    file      {} {:04o} {}:{}  {content}",
            file.path, file.mode, file.uid, file.gid
        )?;
    }
    for variable in &container.env {
        let value = match &variable.value {
            EnvSource::Literal(text) => text.clone(),
            EnvSource::Host { variable, .. } => format!("(the host's {variable})"),
            EnvSource::Asked(question) => format!("(asked: {question})"),
        };
        writeln!(f, "    env       {}={value}", variable.name)?;
    }
    Ok(())
}
