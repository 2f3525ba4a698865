//! `[agent]`: the image, the command, and what surrounds it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::AgentFile;
use super::git::GitUpstream;
use super::reader::{At, Table};
use super::{existing_file, files};
use crate::host::Host;
use crate::problem::{Problem, nearest};

/// The untrusted one.
#[derive(Debug, Clone)]
pub struct Agent {
    pub image: AgentImage,
    /// Empty means the image's own.
    pub command: Vec<String>,
    /// Writable, on disk.
    pub workdir: String,
    /// Writable, on disk.
    pub home: String,
    /// Where the command starts; the workdir when absent.
    pub start_in: Option<String>,
    /// Copied in before the command starts.
    pub files: Vec<AgentFile>,
    /// Never root.
    pub uid: u32,
    pub gid: u32,
    /// Names of upstreams cloned before the command starts.
    pub clone: Vec<String>,
    pub env: BTreeMap<String, EnvValue>,
    pub read_only: bool,
    /// Who commits are by, when the agent does not say: `Name <mail>`.
    pub author: Option<(String, String)>,
    /// A terminal for the agent; `None` means when `bottle` has one.
    pub tty: Option<bool>,
}

/// Where the agent's image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentImage {
    Reference(String),
    Build { dockerfile: PathBuf, context: PathBuf },
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    Literal(String),
    /// `${NAME}`: the host's, taken at launch.
    FromHost {
        variable: String,
        value: String,
    },
    /// `?question`: asked at launch.
    Asked(String),
}

const DEFAULT_UID: u32 = 1000;

pub(super) fn read(
    mut table: Table<'_, '_>,
    git: &[GitUpstream],
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<Agent> {
    let image = read_image(&mut table, host, problems);
    let command = strings(&mut table, "command", problems);
    if let Some(first) = command.iter().flatten().next().filter(|word| word.value.is_empty()) {
        problems.push(Problem::at(first.span.clone(), "the command is empty", "[\"claude\"]"));
    }
    let workdir = folder(&mut table, "workdir", "/work", problems);
    let home = folder(&mut table, "home", "/home/agent", problems);
    let start_in = table.string("start_in", problems);
    let start_in = start_in.and_then(|written| read_start_in(&written, &workdir, problems));
    let files = files::read(table.table("files", problems), [&home, &workdir], host, problems);
    let (uid, gid) = read_user(&mut table, problems);
    let clone = strings(&mut table, "clone", problems).unwrap_or_default();
    check_clone(&clone, git, problems);
    let env = read_env(table.table("env", problems), host, problems);
    let read_only = table.boolean("read_only", problems).unwrap_or(true);
    let author = table.string("author", problems).and_then(|author| read_author(&author, problems));
    let tty = table.boolean("tty", problems);
    table.finish(problems);
    Some(Agent {
        image: image?,
        command: command.into_iter().flatten().map(|word| word.value).collect(),
        workdir,
        home,
        start_in,
        files,
        uid,
        gid,
        clone: clone.into_iter().map(|name| name.value).collect(),
        env,
        read_only,
        author,
        tty,
    })
}

fn strings(
    table: &mut Table<'_, '_>,
    key: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<At<String>>> {
    table.strings(key, problems).map(|list| list.value)
}

fn read_image(
    table: &mut Table<'_, '_>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<AgentImage> {
    let image = table.string("image", problems);
    let dockerfile = table.string("dockerfile", problems);
    let context = table.string("context", problems);
    match (image, dockerfile) {
        (Some(_), Some(dockerfile)) => {
            let message = "there are both image and dockerfile";
            problems.push(Problem::at(dockerfile.span, message, "one of them"));
            None
        }
        (None, None) => {
            let message = "[agent] has no image";
            let help = "image = \"my-agent:1\", or dockerfile = \"~/agent/Dockerfile\"";
            problems.push(Problem::at(table.span(), message, help));
            None
        }
        (Some(image), None) => {
            if let Some(context) = context {
                let message = "a context is for a dockerfile";
                problems.push(Problem::at(context.span, message, "image alone"));
            }
            let fine = !image.value.is_empty()
                && !image.value.chars().any(|c| c.is_whitespace() || c.is_control());
            if !fine {
                let message = "image is not a reference";
                problems.push(Problem::at(image.span, message, "\"my-agent:1\""));
                return None;
            }
            Some(AgentImage::Reference(image.value))
        }
        (None, Some(dockerfile)) => {
            let file = existing_file(host, &dockerfile, "a Dockerfile", problems)?;
            let context = match context {
                None => file.parent()?.to_owned(),
                Some(context) => {
                    let path = host.expand(&context.value);
                    if !path.is_dir() {
                        let message = format!("{} is not a folder", path.display());
                        problems.push(Problem::at(context.span, message, "the folder to build in"));
                        return None;
                    }
                    path
                }
            };
            Some(AgentImage::Build { dockerfile: file, context })
        }
    }
}

/// A folder inside the container that becomes a volume: it must not hide the system's own.
fn folder(
    table: &mut Table<'_, '_>,
    key: &'static str,
    default: &str,
    problems: &mut Vec<Problem>,
) -> String {
    const SYSTEM: [&str; 12] = [
        "/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/tmp",
        "/usr",
    ];
    let Some(written) = table.string(key, problems) else { return default.to_owned() };
    let path = written.value.trim_end_matches('/');
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
    if !path.starts_with('/') || !plain || SYSTEM.contains(&path) || path.starts_with("/run/bottle")
    {
        let message = format!("`{}` cannot be the {key}", written.value);
        let help = format!("an absolute folder of its own, \"{default}\"");
        problems.push(Problem::at(written.span, message, help));
        return default.to_owned();
    }
    path.to_owned()
}

/// A folder below the workdir; it need not be there before the clones are.
fn read_start_in(
    written: &At<String>,
    workdir: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let path = written.value.trim_end_matches('/');
    let plain = !path.is_empty()
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !plain {
        let message = format!("`{}` is not a folder below {workdir}", written.value);
        problems.push(Problem::at(written.span.clone(), message, "\"app\", as `clone` names it"));
        return None;
    }
    Some(format!("{workdir}/{path}"))
}

fn read_user(table: &mut Table<'_, '_>, problems: &mut Vec<Problem>) -> (u32, u32) {
    let Some(written) = table.string("user", problems) else { return (DEFAULT_UID, DEFAULT_UID) };
    let (uid, gid) = written.value.split_once(':').unwrap_or((&written.value, &written.value));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) if uid != 0 && gid != 0 => (uid, gid),
        (Ok(_), Ok(_)) => {
            let message = "the agent does not run as root";
            problems.push(Problem::at(written.span, message, "\"1000:1000\""));
            (DEFAULT_UID, DEFAULT_UID)
        }
        (Err(_), _) | (_, Err(_)) => {
            let message = format!("`{}` is not a user and a group", written.value);
            problems.push(Problem::at(written.span, message, "numbers, \"1000:1000\""));
            (DEFAULT_UID, DEFAULT_UID)
        }
    }
}

fn check_clone(clone: &[At<String>], git: &[GitUpstream], problems: &mut Vec<Problem>) {
    let known: Vec<&str> = git.iter().map(|upstream| upstream.name.value.as_str()).collect();
    for name in clone {
        if known.contains(&name.value.as_str()) {
            continue;
        }
        let help = match (nearest(&name.value, &known), known.is_empty()) {
            (Some(meant), _) => format!("\"{meant}\""),
            (None, true) => "a [[git]] of that name".to_owned(),
            (None, false) => format!("one of {}", known.join(", ")),
        };
        let message = format!("clone names `{}`, and no [[git]] has that name", name.value);
        problems.push(Problem::at(name.span.clone(), message, help));
    }
}

fn read_env(
    table: Option<Table<'_, '_>>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, EnvValue> {
    let Some(table) = table else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for (name, value) in table.pairs() {
        let Some(written) =
            super::reader::string(value, &format!("`agent.env.{}`", name.value), problems)
        else {
            continue;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            || !name.value.chars().all(plain)
        {
            let message = format!("`{}` cannot name a variable", name.value);
            problems.push(Problem::at(name.span, message, "letters, digits and `_`"));
            continue;
        }
        if let Some(value) = read_value(&written, host, problems) {
            env.insert(name.value, value);
        }
    }
    env
}

fn read_value(written: &At<String>, host: &Host, problems: &mut Vec<Problem>) -> Option<EnvValue> {
    let text = &written.value;
    if text.contains('\0') {
        let message = "a variable cannot hold a NUL";
        problems.push(Problem::at(written.span.clone(), message, "text without it"));
        return None;
    }
    if let Some(question) = text.strip_prefix('?') {
        return Some(EnvValue::Asked(question.trim().to_owned()));
    }
    let Some(variable) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Some(EnvValue::Literal(text.clone()));
    };
    if let Some(value) = host.variable(variable) {
        return Some(EnvValue::FromHost { variable: variable.to_owned(), value: value.to_owned() });
    }
    let message = format!("the variable {variable} is not set on this host");
    let help = format!("`export {variable}=…` before the launch, or a literal value here");
    problems.push(Problem::at(written.span.clone(), message, help));
    None
}

fn read_author(author: &At<String>, problems: &mut Vec<Problem>) -> Option<(String, String)> {
    let read = author
        .value
        .strip_suffix('>')
        .and_then(|rest| rest.split_once(" <"))
        .filter(|(name, mail)| !name.is_empty() && !mail.is_empty())
        .filter(|_| !author.value.contains(['\n', '\r', '\0', '"', '\\']));
    if read.is_none() {
        let message = format!("`{}` is not an author", author.value.escape_default());
        problems.push(Problem::at(author.span.clone(), message, "\"Name <mail@example.com>\""));
    }
    read.map(|(name, mail)| (name.to_owned(), mail.to_owned()))
}
