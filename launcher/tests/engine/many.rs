//! Many bottles at the same moment.

use std::process::Stdio;

use crate::kit::{AGENT_IMAGE, Bench, docker, ran};

/// Their networks are more than the engine's own pools hold (30).
const COUNT: usize = 16;

#[test]
fn sixteen_launched_at_once_all_run_each_on_networks_of_its_own() {
    let Some(bench) = Bench::new("t-many") else { return };
    let names: Vec<String> = (0..COUNT).map(|n| format!("{}-{n}", bench.name)).collect();
    for name in &names {
        bench.manifest_of(
            name,
            &format!("[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"sleep\", \"600\"]\n"),
        );
    }
    let launches: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = bench.command(&["run", "--detach", name]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("bottle runs")
        })
        .collect();
    let ends: Vec<_> =
        launches.into_iter().map(|it| ran(it.wait_with_output().expect("it ends"))).collect();
    let subnets = |kind: &str| {
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        let networks: Vec<String> =
            names.iter().map(|name| format!("bottle-{kind}-{name}")).collect();
        let mut words = vec!["network", "inspect", "-f", format];
        words.extend(networks.iter().map(String::as_str));
        std::process::Command::new("docker").args(words).output().expect("docker is installed")
    };
    let (closed, egress) = (ran(subnets("net")), ran(subnets("egress")));
    for name in &names {
        bench.bottle(&["cleanup", "--force", name]);
    }
    for (name, ran) in names.iter().zip(&ends) {
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
    }
    let mut all: Vec<&str> = closed.out.lines().chain(egress.out.lines()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * COUNT, "{all:?}");
    assert!(all.iter().all(|it| it.starts_with("198.18.") || it.starts_with("198.19.")), "{all:?}");
    assert_eq!(docker(&["ps", "-aq", "--filter", "name=bottle-.*t-many"]), "");
}
