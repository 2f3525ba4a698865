//! The logs of all of a bottle's sidecars as one, denials marked.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use super::engine::{Engine, EngineError, Step, dress};
use super::find::{Found, Kind};
use crate::ui::printable;

/// One line of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// As the engine writes it (RFC 3339, UTC), so that it sorts.
    pub time: String,
    pub role: String,
    pub line: String,
}

impl Engine {
    /// Follows the logs of these containers, as they come.
    pub fn follow_logs<'e>(
        &'e self,
        things: &'e [Found],
    ) -> impl Stream<Item = Result<Entry, EngineError>> + 'e {
        futures_util::stream::select_all(
            containers(things).map(|it| self.log_of(it, true).boxed_local()),
        )
    }

    /// What the logs of these containers hold now, in the order of time.
    ///
    /// # Errors
    /// When the engine does not give them.
    pub async fn read_logs(&self, things: &[Found]) -> Result<Vec<Entry>, EngineError> {
        let mut entries = Vec::new();
        for container in containers(things) {
            let mut lines = std::pin::pin!(self.log_of(container, false));
            while let Some(entry) = lines.next().await {
                entries.push(entry?);
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn log_of<'e>(
        &'e self,
        container: &'e Found,
        follow: bool,
    ) -> impl Stream<Item = Result<Entry, EngineError>> + 'e {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(follow)
            .build();
        self.docker.logs(&container.id, Some(options)).map(move |piece| {
            let step = Step::new("read the log of", &container.name, &container.bottle);
            let piece = piece.map_err(|refusal| dress(&step, &refusal))?;
            let (LogOutput::StdOut { message }
            | LogOutput::StdErr { message }
            | LogOutput::Console { message }
            | LogOutput::StdIn { message }) = piece;
            let text = String::from_utf8_lossy(&message);
            let (time, line) = text.split_once(' ').unwrap_or(("", &text));
            Ok(Entry {
                time: time.to_owned(),
                role: container.role.clone(),
                line: line.trim_end().to_owned(),
            })
        })
    }
}

fn containers(things: &[Found]) -> impl Iterator<Item = &Found> {
    things.iter().filter(|thing| thing.kind == Kind::Container && thing.role != "agent")
}

/// A line for people: the time of day, who, and what; a denial or failure says so first.
pub fn legible(entry: &Entry) -> String {
    let time = entry.time.get(11..19).unwrap_or("        ");
    let what = match (denial(&entry.role, &entry.line), failure(&entry.line)) {
        (Some(denied), _) => format!("DENIED {denied}"),
        (None, Some(failed)) => format!("FAILED {failed}"),
        (None, None) => printable(&entry.line),
    };
    format!("{time} {:<10} {what}", entry.role)
}

/// What was denied, if the line says that something was.
pub fn denial(role: &str, line: &str) -> Option<String> {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else {
        return text_denial(line);
    };
    let text = |key: &str| find(&value, key).unwrap_or_default();
    match role {
        "pipelock" => {
            let event = text("event");
            let method = text("method");
            let blocks = match event.as_str() {
                "blocked" | "sni_mismatch" | "kill_switch_deny" => true,
                "header_dlp" | "body_dlp" => text("action") == "block",
                "error" => matches!(method.as_str(), "CONNECT" | "CONFIG_RELOAD"),
                _ => false,
            };
            let target = [text("target"), text("url")].into_iter().find(|text| !text.is_empty());
            let reason = [text("reason"), text("error"), event].into_iter().find(|t| !t.is_empty());
            blocks.then(|| {
                let line = format!(
                    "{method} {}: {}",
                    target.unwrap_or_default(),
                    reason.unwrap_or_default()
                );
                printable(line.trim())
            })
        }
        _ => {
            let message = [text("message"), text("msg")].into_iter().find(|text| !text.is_empty());
            let message = message.unwrap_or_default();
            let outcome = text("outcome");
            let denied = ["denied", "refused", "rejected"]
                .iter()
                .any(|word| message.contains(word) || outcome == *word);
            denied.then(|| {
                let mut words = vec![message];
                let fields = [
                    "git.repo",
                    "git.service",
                    "method",
                    "path",
                    "http.method",
                    "http.path",
                    "reason",
                    "why",
                    "public",
                    "error",
                ];
                words.extend(fields.iter().map(|key| text(key)).filter(|text| !text.is_empty()));
                printable(&words.join(" · "))
            })
        }
    }
}

/// A session of the gate's that ended by the client's fault, or by what it may not do.
fn text_denial(line: &str) -> Option<String> {
    let (repo, message) = text_event(line)?;
    let failed = message.starts_with("failed") && quoted(&message, "error.blame")? == "client";
    let denied = ["denied", "refused", "rejected"].iter().any(|it| message.starts_with(it));
    (failed || denied).then(|| told(&repo, &message))
}

/// A session of the gate's that ended by the origin's fault, or the gate's own.
fn failure(line: &str) -> Option<String> {
    let (repo, message) = text_event(line)?;
    (message.starts_with("failed") && text_denial(line).is_none()).then(|| told(&repo, &message))
}

fn told(repo: &str, message: &str) -> String {
    // A field that is shown plainly has no quotes and stands last.
    let plainly = message.split_once("error.chain=").map(|(_, why)| why.to_owned());
    let why = quoted(message, "error.chain").or(plainly).unwrap_or_else(|| message.to_owned());
    printable(&if repo.is_empty() { why } else { format!("{repo}: {why}") })
}

/// tracing's text: time, level, `span{field=value …}: ` and the message with its fields.
fn text_event(line: &str) -> Option<(String, String)> {
    let plain = console::strip_ansi_codes(line);
    if let Some((before, message)) = plain.split_once("}: ") {
        return Some((quoted(before, "git.repo").unwrap_or_default(), message.to_owned()));
    }
    // What comes before a session has no span.
    let (_time, rest) = plain.trim_start().split_once(' ')?;
    let (_level, message) = rest.trim_start().split_once(' ')?;
    Some((String::new(), message.to_owned()))
}

/// The value of `key="…"`, its escapes left as they are.
fn quoted(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("{key}=\""))?;
    let end = rest.match_indices('"').map(|(at, _)| at);
    let end = end.into_iter().find(|at| !rest[..*at].ends_with('\\'))?;
    Some(rest[..end].to_owned())
}

/// tracing's JSON keeps an event's fields below `fields`, and its span's below `span`.
fn find(value: &serde_json::Value, key: &str) -> Option<String> {
    let places = [Some(value), value.get("fields"), value.get("span")];
    let found = places.into_iter().flatten().find_map(|place| place.get(key))?;
    Some(match found {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_what_pipelock_denied_and_nothing_else() {
        let blocked = r#"{"level":"warn","event":"blocked","method":"CONNECT","target":"blocked.test:443","scanner":"allowlist","reason":"domain not in allowlist: blocked.test","agent":"a","agent":"b"}"#;
        assert_eq!(
            denial("pipelock", blocked).unwrap(),
            "CONNECT blocked.test:443: domain not in allowlist: blocked.test"
        );
        let warned = r#"{"event":"header_dlp","action":"warn","method":"GET"}"#;
        assert_eq!(denial("pipelock", warned), None);
        assert_eq!(denial("pipelock", "Pipelock starting"), None);
    }

    #[test]
    fn marks_what_the_others_refused() {
        let line = r#"{"level":"WARN","fields":{"message":"push refused","reason":"secret found"},"span":{"git.repo":"app"}}"#;
        assert_eq!(denial("git-gate", line).unwrap(), "push refused · app · secret found");
        let line = "2026-11-24T11:33:57Z  INFO session{session.id=6b git.repo=\"app\" git.version=V0}: failed error.blame=\"client\" error.chain=\"no \\\"x\\\" here\" sent=3";
        assert_eq!(denial("git-gate", line).unwrap(), "app: no \\\"x\\\" here");
        assert_eq!(failure(line), None);
        let by_origin = line.replace("\"client\"", "\"origin\"");
        assert_eq!(denial("git-gate", &by_origin), None);
        assert_eq!(failure(&by_origin).unwrap(), "app: no \\\"x\\\" here");
        let line = "2026-11-24T15:19:07Z  INFO refused peer.addr=10.0.0.5:1 error.chain=repository name 'a b' is not allowed";
        assert_eq!(denial("git-gate", line).unwrap(), "repository name 'a b' is not allowed");
        let line = by_origin.replace("origin", "client");
        let served = line.replace("failed", "served");
        assert_eq!((denial("git-gate", &served), failure(&served)), (None, None));
    }

    #[test]
    fn a_log_does_not_steer_the_terminal() {
        let entry = Entry {
            time: "2026-11-24T10:00:01.5Z".into(),
            role: "git-gate".into(),
            line: "a\x1b[2Jb\u{9b}31m\u{202e}c".into(),
        };
        assert_eq!(legible(&entry), "10:00:01 git-gate   a\u{fffd}[2Jb\u{fffd}31m\u{fffd}c");
    }
}
