//! Gathers what a plan depends on. Reads, and changes nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::engine::{Engine, EngineError, Step, ask};
use crate::host::Host;
use crate::names::{BottleName, LABEL_BOTTLE, Role};
use crate::plan::bundle;
use crate::plan::facts::{Facts, local_addresses, routes};
use crate::plan::subnet::Subnet;

/// Engines from this version on know `gateway_mode_ipv4`.
const ISOLATED_GATEWAY_SINCE: u32 = 28;

/// What the host alone tells.
///
/// # Errors
/// When a program of a sidecar is there and cannot be read.
pub fn host_facts(host: &Host, own: &Path) -> std::io::Result<Facts> {
    let folders: Vec<PathBuf> = bundle::folders(host.variable("BOTTLE_LIBEXEC"), own);
    let mut facts =
        Facts { guest: bundle::find_program("bottle-guest", &folders), ..Facts::default() };
    for role in [Role::GitGate, Role::CredProxy, Role::Probe] {
        if let Some(found) = bundle::find(role, &folders)? {
            facts.bundles.insert(role, found);
        }
    }
    // Absent where the kernel is not Linux's; the self-test then knows fewer addresses.
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let (subnets, routers) = routes(&table);
    facts.taken = subnets;
    facts.routers = routers;
    facts.host_addresses =
        local_addresses(&std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default());
    Ok(facts)
}

impl Engine {
    /// Adds what the engine tells.
    ///
    /// # Errors
    /// When the engine does not list its networks or containers.
    pub async fn add_facts(
        &self,
        bottle: &BottleName,
        facts: &mut Facts,
    ) -> Result<(), EngineError> {
        let step = Step::new("ask", "the engine for its state and networks", bottle.as_str());
        let (version, info, networks, containers) = tokio::try_join!(
            ask(&step, self.docker.version()),
            ask(&step, self.docker.info()),
            ask(&step, self.docker.list_networks(None)),
            self.containers(None),
        )?;
        let major =
            version.version.as_deref().and_then(|text| text.split('.').next()?.parse().ok());
        facts.isolated_gateway = major.is_some_and(|major: u32| major >= ISOLATED_GATEWAY_SINCE);
        facts.cpus = info.ncpu.filter(|count| *count > 0).map(|count| count as f64);
        for config in networks.iter().filter_map(|network| network.ipam.as_ref()) {
            for config in config.config.iter().flatten() {
                facts.taken.extend(config.subnet.as_deref().and_then(Subnet::parse));
                let gateway: Option<IpAddr> =
                    config.gateway.as_deref().and_then(|text| text.parse().ok());
                facts.host_addresses.extend(gateway.filter(IpAddr::is_ipv4));
            }
        }
        facts.host_addresses.sort_unstable();
        facts.host_addresses.dedup();
        for container in containers {
            let labels = container.labels.unwrap_or_default();
            if labels.get(LABEL_BOTTLE).is_none_or(|name| name == bottle.as_str()) {
                continue;
            }
            let networks = container.network_settings.and_then(|settings| settings.networks);
            let addresses = networks.into_iter().flatten().filter_map(|(_, at)| at.ip_address);
            facts.other_bottles.extend(addresses.filter_map(|text| text.parse::<IpAddr>().ok()));
        }
        Ok(())
    }
}
