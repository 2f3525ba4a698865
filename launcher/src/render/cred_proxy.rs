//! cred-proxy's routes. Tokens lie in files beside it.

use serde::Serialize;

use crate::manifest::Manifest;
use crate::render::pipelock;

pub const PORT: u16 = 9099;
pub const CONFIG: &str = "/etc/cred-proxy/config.toml";
pub const TOKENS: &str = "/run/cred-proxy/tokens";
pub const CA: &str = "/etc/cred-proxy/ca.pem";

#[derive(Serialize)]
struct Config {
    listen: String,
    proxy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'static str>,
    routes: Vec<Route>,
}

#[derive(Serialize)]
struct Route {
    path: String,
    upstream: String,
    auth_scheme: &'static str,
    token_file: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
}

/// Writes the TOML; it holds paths to tokens and no token.
pub fn config(manifest: &Manifest) -> String {
    let routes = manifest.routes.iter().enumerate().map(|(index, route)| Route {
        path: route.path.value.clone(),
        upstream: route.upstream.clone(),
        auth_scheme: route.auth_scheme.as_str(),
        token_file: token_file(index),
        methods: route.methods.clone(),
        paths: route.paths.clone(),
    });
    let config = Config {
        listen: format!("0.0.0.0:{PORT}"),
        proxy: format!("http://pipelock:{}", pipelock::PORT),
        ca_file: manifest.ca_file.as_ref().map(|_| CA),
        routes: routes.collect(),
    };
    toml::to_string(&config).expect("strings and lists have a TOML form")
}

/// Where the token of the route of that index lies.
pub fn token_file(index: usize) -> String {
    format!("{TOKENS}/{index}")
}
