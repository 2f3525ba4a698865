//! `[agent.files]`: what the agent finds before its command starts.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::existing_file;
use super::reader::{At, Table, string};
use crate::host::Host;
use crate::problem::Problem;

/// A file of the agent's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFile {
    /// Below the agent's home or its workdir.
    pub path: String,
    pub content: FileContent,
}

/// What it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    Text(String),
    /// A file of the host, read at launch.
    HostFile(PathBuf),
}

const EXAMPLE: &str = "\"~/.config/agent.json\" = '''…''', or { file = \"~/agent.json\" }";

pub(super) fn read(
    table: Option<Table<'_, '_>>,
    [home, workdir]: [&str; 2],
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Vec<AgentFile> {
    let pairs = table.into_iter().flat_map(|table| table.pairs().collect::<Vec<_>>());
    pairs
        .filter_map(|(key, value)| {
            let path = place(&key, [home, workdir], problems);
            let content = content(&key.value, value, host, problems);
            Some(AgentFile { path: path?, content: content? })
        })
        .collect()
}

/// Only the agent's volumes take files: the rest of its root is read-only.
fn place(
    written: &At<String>,
    [home, workdir]: [&str; 2],
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let path = match written.value.strip_prefix("~/") {
        Some(rest) => format!("{home}/{rest}"),
        None => written.value.clone(),
    };
    let below =
        |folder: &str| path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some();
    let plain = !path.chars().any(char::is_control)
        && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    let wrong = if path == format!("{home}/.gitconfig") {
        format!("bottle writes `{}` itself", written.value)
    } else if plain && (below(home) || below(workdir)) {
        return Some(path);
    } else {
        format!("`{}` is no file below {home} or {workdir}", written.value)
    };
    problems.push(Problem::at(written.span.clone(), wrong, EXAMPLE));
    None
}

fn content(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<FileContent> {
    let name = format!("agent.files.\"{name}\"");
    let Some(entries) = value.get_ref().as_table() else {
        return string(value, &format!("`{name}`"), problems)
            .map(|text| FileContent::Text(text.value));
    };
    let mut table = Table::new(entries, value.span(), name);
    let file = table.required("file", "\"~/agent.json\"", problems);
    table.finish(problems);
    existing_file(host, &file?, "a file to copy", problems).map(FileContent::HostFile)
}
