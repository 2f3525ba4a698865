//! A stand-in for pipelock, for tests where its image cannot be had. **It is not pipelock.**
//!
//! It reads the same YAML as strictly (an unknown or doubled key ends it), answers `/health` with the
//! same fields, and lets CONNECT through to the hosts of `api_allowlist` and to no others. It scans
//! nothing.

#![expect(clippy::print_stdout, reason = "its log is its stdout, as pipelock's is")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: u32,
    mode: String,
    enforce: bool,
    explain_blocks: bool,
    api_allowlist: Vec<String>,
    trusted_domains: Vec<String>,
    fetch_proxy: FetchProxy,
    forward_proxy: ForwardProxy,
    request_body_scanning: BodyScanning,
    metrics_listen: String,
    logging: Logging,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchProxy {
    listen: String,
    monitoring: Monitoring,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Monitoring {
    max_requests_per_minute: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwardProxy {
    enabled: bool,
    max_tunnel_seconds: u32,
    idle_timeout_seconds: u32,
    sni_verification: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyScanning {
    enabled: bool,
    action: String,
    scan_headers: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logging {
    format: String,
    output: String,
    include_allowed: bool,
    include_blocked: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let ["run", "-c", file, "-l", listen, "-m", mode] = words.as_slice() else {
        return Err("usage: pipelock-standin run -c FILE -l ADDRESS -m MODE".into());
    };
    let value = parse_yaml(&std::fs::read_to_string(file)?)?;
    let config: Config = serde_json::from_value(value)?;
    check(&config, mode)?;
    let config = Arc::new(config);
    let metrics = TcpListener::bind(&config.metrics_listen)?;
    std::thread::spawn(move || metrics.incoming().for_each(drop));
    println!("{}", json!({"event": "startup", "message": "pipelock STAND-IN, not pipelock"}));
    for stream in TcpListener::bind(listen)?.incoming() {
        let (stream, config) = (stream?, Arc::clone(&config));
        std::thread::spawn(move || {
            if let Err(error) = serve(stream, &config) {
                println!("{}", json!({"event": "noise", "error": error.to_string()}));
            }
        });
    }
    Ok(())
}

/// What pipelock 2.3.0 demands of these keys, and what bottle must have set.
fn check(config: &Config, mode: &str) -> Result<(), String> {
    let demands = [
        (config.version == 1, "version is 1"),
        (
            config.mode == mode && config.enforce && config.explain_blocks,
            "mode is the one asked for",
        ),
        (!config.api_allowlist.is_empty(), "strict mode has an api_allowlist"),
        (config.forward_proxy.enabled && config.forward_proxy.sni_verification, "CONNECT is on"),
        (config.forward_proxy.max_tunnel_seconds >= 3600, "tunnels may be long"),
        (config.forward_proxy.idle_timeout_seconds >= 3600, "tunnels may be idle"),
        (config.fetch_proxy.monitoring.max_requests_per_minute >= 600, "an agent can live with it"),
        (config.fetch_proxy.listen.ends_with(":8888"), "the port is 8888"),
        (config.request_body_scanning.enabled, "bodies are scanned"),
        (config.request_body_scanning.scan_headers, "headers are scanned"),
        (config.request_body_scanning.action == "block", "findings are blocked"),
        (config.metrics_listen.starts_with("127.0.0.1:"), "metrics are on loopback"),
        (config.logging.format == "json" && config.logging.output == "stdout", "the log is JSON"),
        (config.logging.include_allowed && config.logging.include_blocked, "the log is whole"),
    ];
    demands.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, what)| Err(what.to_owned()))
}

fn serve(stream: TcpStream, config: &Config) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    reader.by_ref().take(16 * 1024).read_line(&mut head)?;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
    let method = method.to_owned();
    let mut line = String::new();
    while reader.by_ref().take(16 * 1024).read_line(&mut line)? > 2 {
        line.clear();
    }
    match (method.as_str(), target.as_str()) {
        ("GET", "/health") => {
            let body = json!({"status": "healthy", "version": "stand-in", "mode": config.mode,
                "forward_proxy_enabled": config.forward_proxy.enabled, "kill_switch_active": false});
            answer(stream, "200 OK", &body.to_string())
        }
        ("CONNECT", target) => connect(stream, reader, target, config),
        _ => answer(stream, "404 Not Found", "not found"),
    }
}

fn connect(
    client: TcpStream,
    mut from_client: BufReader<TcpStream>,
    target: &str,
    config: &Config,
) -> std::io::Result<()> {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host).to_ascii_lowercase();
    let allowed = |list: &[String]| {
        list.iter().any(|entry| match entry.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|left| left.ends_with('.')),
            None => *entry == host,
        })
    };
    let refuse = |client: TcpStream, scanner: &str, reason: String| {
        println!(
            "{}",
            json!({"level": "warn", "event": "blocked", "method": "CONNECT", "target": target,
                "scanner": scanner, "reason": reason, "message": "request blocked"})
        );
        answer(client, "403 Forbidden", &format!("CONNECT blocked: {reason}"))
    };
    if config.mode == "strict" && !allowed(&config.api_allowlist) {
        return refuse(client, "allowlist", format!("domain not in allowlist: {host}"));
    }
    let address =
        target.to_socket_addrs().ok().and_then(|mut all| all.find(std::net::SocketAddr::is_ipv4));
    let Some(address) = address else {
        return refuse(client, "ssrf", format!("{host} does not resolve"));
    };
    let private = match address.ip() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(_) => true,
    };
    if private && !allowed(&config.trusted_domains) {
        return refuse(client, "ssrf", format!("{host} has a private address"));
    }
    let Ok(upstream) = TcpStream::connect(address) else {
        return answer(client, "502 Bad Gateway", "dial failed");
    };
    let mut to_client = client.try_clone()?;
    to_client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")?;
    let (mut from_upstream, mut to_upstream) = (upstream.try_clone()?, upstream);
    let back = std::thread::spawn(move || {
        let copied = std::io::copy(&mut from_upstream, &mut to_client);
        drop(to_client.shutdown(Shutdown::Write));
        copied
    });
    std::io::copy(&mut from_client, &mut to_upstream)?;
    drop(to_upstream.shutdown(Shutdown::Write));
    drop(back.join());
    Ok(())
}

fn answer(mut client: TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The YAML that bottle writes: maps by two spaces, lists of strings, plain and quoted scalars.
fn parse_yaml(text: &str) -> Result<Value, String> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .collect();
    let mut rest = lines.as_slice();
    let value = parse_block(&mut rest, 0)?;
    rest.first().map_or(Ok(value), |(_, line)| Err(format!("unexpected: {line}")))
}

fn parse_block(rest: &mut &[(usize, &str)], indent: usize) -> Result<Value, String> {
    if rest.first().is_some_and(|(at, line)| *at == indent && line.starts_with("- ")) {
        let mut list = Vec::new();
        while let Some((at, line)) = rest.first()
            && let (true, Some(item)) = (*at == indent, line.strip_prefix("- "))
        {
            list.push(scalar(item)?);
            *rest = &rest[1..];
        }
        return Ok(Value::Array(list));
    }
    let mut map = Map::new();
    while let Some((at, line)) = rest.first().filter(|(at, _)| *at == indent) {
        let (key, value) = line.split_once(':').ok_or_else(|| format!("no key: {line}"))?;
        *rest = &rest[1..];
        let value = match value.trim() {
            "" => parse_block(rest, rest.first().map_or(0, |(deeper, _)| *deeper).max(at + 2))?,
            text => scalar(text)?,
        };
        if map.insert(key.to_owned(), value).is_some() {
            return Err(format!("the key {key} stands twice"));
        }
    }
    Ok(Value::Object(map))
}

fn scalar(text: &str) -> Result<Value, String> {
    Ok(match text {
        "[]" => Value::Array(Vec::new()),
        "true" | "false" => Value::Bool(text == "true"),
        _ if text.starts_with('"') => serde_json::from_str(text).map_err(|e| e.to_string())?,
        _ => match text.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) if text.contains(['"', '[', '{', '#']) => {
                return Err(format!("not plain: {text}"));
            }
            Err(_) => text.into(),
        },
    })
}
