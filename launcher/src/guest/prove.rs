//! The self-test, in the agent's own network namespace. Whatever is not proved is broken.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::spec::{By, Line, Ready, Sidecar, Spec, Target};
use super::{forward, net, resolver};

/// Runs every check and writes a [`Line`] for each thing found.
///
/// # Errors
/// Only when nobody can be told.
pub fn prove(spec: &Spec, out: &mut impl Write) -> io::Result<bool> {
    let mut report = Report { out, checks: 0, broken: 0 };
    let reached = await_sidecars(spec, &mut report)?;
    let wait = Duration::from_millis(spec.answer_ms);
    for (what, why) in check_closed(spec, &reached, wait, &mut report.checks) {
        report.broken(what, why)?;
    }
    report.checks += 1;
    if let Some(found) = ipv6_addresses()? {
        report.broken("ipv6".into(), format!("there is an address: {found}"))?;
    }
    let Report { checks, broken, .. } = report;
    report.line(&Line::Done { checks, broken })?;
    Ok(broken == 0)
}

struct Report<'o, W> {
    out: &'o mut W,
    checks: u32,
    broken: u32,
}

impl<W: Write> Report<'_, W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn broken(&mut self, what: String, why: String) -> io::Result<()> {
        self.broken += 1;
        self.line(&Line::Broken { what, why })
    }
}

/// Waits until every sidecar is ready, and learns its address on the way.
fn await_sidecars(
    spec: &Spec,
    report: &mut Report<'_, impl Write>,
) -> io::Result<Vec<(String, IpAddr)>> {
    let began = Instant::now();
    let until = began + Duration::from_millis(spec.ready_ms);
    let mut reached = Vec::new();
    for sidecar in &spec.sidecars {
        report.checks += 1;
        loop {
            match ask_ready(sidecar) {
                Ok(address) => {
                    let after_ms = began.elapsed().as_millis() as u64;
                    report.line(&Line::Ready { name: sidecar.name.clone(), after_ms })?;
                    reached.push((sidecar.name.clone(), address));
                    break;
                }
                Err(why) if Instant::now() >= until => {
                    let why = format!("not ready within {} ms: {why}", spec.ready_ms);
                    report.broken(sidecar.name.clone(), why)?;
                    break;
                }
                // The sidecar has no way to tell us: ask again, after a breath.
                Err(_) => std::thread::park_timeout(Duration::from_millis(15)),
            }
        }
    }
    Ok(reached)
}

fn ask_ready(sidecar: &Sidecar) -> Result<IpAddr, String> {
    const WAIT: Duration = Duration::from_secs(1);
    let mut addresses = (sidecar.name.as_str(), sidecar.port)
        .to_socket_addrs()
        .map_err(|error| format!("its name is not known: {error}"))?;
    let address = addresses.next().ok_or("its name has no address")?;
    match &sidecar.ready {
        Ready::Accepts => {
            std::net::TcpStream::connect_timeout(&address, WAIT)
                .map_err(|error| error.to_string())?;
        }
        Ready::Says { path, words } => {
            let text = net::http_get(address, path, WAIT).map_err(|error| error.to_string())?;
            if let Some(missing) = words.iter().find(|word| !text.contains(word.as_str())) {
                return Err(format!("{path} does not say {missing}"));
            }
        }
    }
    Ok(address.ip())
}

/// Asks all that must not answer, at the same time.
fn check_closed(
    spec: &Spec,
    reached: &[(String, IpAddr)],
    wait: Duration,
    checks: &mut u32,
) -> Vec<(String, String)> {
    let admin = spec.sidecars.iter().flat_map(|sidecar| {
        let address = reached.iter().find(|(name, _)| *name == sidecar.name).map(|(_, at)| *at);
        let name = &sidecar.name;
        sidecar.admin.iter().filter_map(move |port| {
            Some((format!("admin port of {name}"), SocketAddr::new(address?, *port)))
        })
    });
    let admin: Vec<(String, SocketAddr)> = admin.collect();
    let resolvers = resolvers();
    *checks += (spec.closed.len() + admin.len() + resolvers.len() + reached.len()) as u32;
    std::thread::scope(|scope| {
        let mut asked = Vec::new();
        for target in &spec.closed {
            asked.push(scope.spawn(move || ask_closed(target, &spec.outside_name, wait)));
        }
        for (what, address) in &admin {
            asked.push(scope.spawn(move || {
                // Reaching the sidecar is meant to be; being let in is not.
                let open = std::net::TcpStream::connect_timeout(address, wait).is_ok();
                open.then(|| (what.clone(), format!("{address} accepts connections")))
            }));
        }
        for resolver in resolvers {
            asked.push(scope.spawn(move || {
                let why = resolver::leak(resolver, &spec.outside_name, wait)?;
                Some((format!("resolver {resolver}"), why))
            }));
        }
        // One after the other: each has the one route to the address outside lead by way of its sidecar.
        let frames = scope.spawn(move || {
            reached.iter().filter_map(|(name, address)| ask_silent(name, *address, spec)).collect()
        });
        let grief = || ("self-test".to_owned(), "a check came to grief".to_owned());
        let mut found: Vec<(String, String)> = asked
            .into_iter()
            .filter_map(|thread| thread.join().unwrap_or_else(|_| Some(grief())))
            .collect();
        found.extend(frames.join().unwrap_or_else(|_| vec![grief()]));
        found
    })
}

fn ask_closed(target: &Target, name: &str, wait: Duration) -> Option<(String, String)> {
    let answer = match target.by {
        By::Tcp => net::tcp_answer(target.address, wait),
        By::Dns => net::dns_answer(target.address, name, wait),
    }?;
    Some((target.what.clone(), format!("{} answers: {answer}", target.address)))
}

fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .filter_map(|address| Some(SocketAddr::new(address.trim().parse().ok()?, 53)))
        .collect()
}

fn ask_silent(name: &str, sidecar: IpAddr, spec: &Spec) -> Option<(String, String)> {
    let what = format!("frames to {name}");
    let IpAddr::V4(sidecar) = sidecar else {
        return Some((what, "it has no IPv4 address".to_owned()));
    };
    let error = forward::prove_silent(sidecar, &spec.forward_to, FRAME_WAIT).err()?;
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
    Some((what, format!("{error}{}", cause.unwrap_or_default())))
}

/// A neighbour on the same bridge answers within microseconds. Three sidecars are silent for as long, one
/// after the other, as every other question waits for its answer.
const FRAME_WAIT: Duration = Duration::from_millis(150);

/// Addresses besides loopback's, as /proc/net/if_inet6 writes them.
fn ipv6_addresses() -> io::Result<Option<String>> {
    let text = match std::fs::read_to_string("/proc/net/if_inet6") {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = text.lines().filter(|line| !line.ends_with(" lo"));
    Ok(found.next().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")))
}
