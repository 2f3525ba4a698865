//! Claude Code itself in the bottle that `bottle init --agent claude` writes, against a model of ours.
//!
//! The model is a script behind the Messages API: it answers with the tool calls that make the agent
//! work. Its program is taken from npm, once; without it, the test says so and is left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{
    AGENT_IMAGE, Bench, NOBODY, build_with, docker, pipelock_line, succeed, variable,
};
use crate::terminal::Terminal;
use crate::world::{api, host, origin};

const KEY: &str = "sk-ant-5e0c9d7a1b3f";
const IMAGE: &str = "bottle-test/claude:1";

/// The version these tests were written with; its package holds one program.
const PACKAGE: &str = "@anthropic-ai/claude-code-linux-x64@2.1.331";

/// The program: what `BOTTLE_TEST_CLAUDE` names, or npm's, kept in the target folder.
fn claude() -> Result<PathBuf, String> {
    if let Some(named) = variable("BOTTLE_TEST_CLAUDE") {
        return Ok(named.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("claude");
    let program = folder.join("package/claude");
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let packed =
        Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(&folder).output();
    let packed = packed.map_err(|error| format!("npm: {error}"))?;
    if !packed.status.success() {
        return Err(format!("npm pack: {}", String::from_utf8_lossy(&packed.stderr).trim()));
    }
    let name = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
    succeed(Command::new("tar").args(["-xzf", &name]).current_dir(&folder));
    std::fs::remove_file(folder.join(name)).map_err(|error| error.to_string())?;
    Ok(program)
}

#[test]
fn claude_code_works_in_the_bottle_that_init_writes() {
    let Some(mut bench) = Bench::new("t-claude") else { return };
    let program = match claude() {
        Ok(program) => program,
        Err(why) => return crate::kit::skipped("t-claude needs Claude Code from npm", &why),
    };
    build_with(IMAGE, AGENT_IMAGE, &["bash", "ps"], &[("claude", &program)]);
    let folder = tempfile::tempdir().expect("a folder");
    let host = host();
    let origin = origin(folder.path(), &host);
    let api = api(folder.path(), &host, MODEL);
    bench.variables = vec![("ANTHROPIC_API_KEY".to_owned(), KEY.to_owned())];
    let init = bench.bottle(&["init", "--agent", "claude", bench.name]);
    assert_eq!(init.code, Some(0), "{init:?}");
    // Nothing is changed but where things are: the image, the API and its CA; and a repository is added.
    let path = bench.home.path().join(".config/bottle/t-claude.toml");
    let written = std::fs::read_to_string(&path).expect("init wrote it");
    let mut manifest: String = written
        .lines()
        .map(|line| match line {
            line if line.starts_with("dockerfile = ") => format!("image = \"{IMAGE}\"\n"),
            line if line.starts_with("upstream = ") => format!("upstream = \"{}\"\n", api.url),
            "# clone = [\"app\"]" | "# start_in = \"app\"" => format!("{}\n", &line[2..]),
            "allow = []" => "allow = []\nprivate = [\"api.test\"]\n".to_owned(),
            line => format!("{line}\n"),
        })
        .collect();
    manifest.insert_str(0, &format!("ca_file = \"{}\"\ndns = [\"{host}\"]\n", api.ca.display()));
    manifest.push_str(&format!(
        "[[git]]\nname = \"app\"\nupstream = \"{}\"\nidentity_file = \"{}\"\nknown_host_key = \"{}\"\n\
         extra_hosts = {{ \"git.internal\" = \"{host}\" }}\n{NOBODY}{}",
        origin.url,
        origin.identity.display(),
        origin.host_key,
        pipelock_line(),
    ));
    std::fs::write(&path, manifest).expect("it is ours");

    let mut terminal = Terminal::open(&bench, &["run", "-q", bench.name], 45, 120);
    // Its prompt, and none of the questions of a first start.
    terminal.expect(b"bypass");
    terminal.type_in(b"do it");
    terminal.expect(b"do");
    terminal.type_in(b"\r");
    terminal.expect(b"ALL-DONE");
    let user = docker(&["top", "bottle-t-claude", "-eo", "pid,uid"]);
    terminal.type_in(b"\x10\x11");
    terminal.expect(b"bottle attach t-claude takes up its terminal");
    assert_eq!(terminal.end(), Some(0));
    let denied = bench.bottle(&["logs", "--denied", bench.name]);
    assert_eq!(bench.bottle(&["stop", "-t", "0", bench.name]).code, Some(0));

    let log = ["log", "--format=%s", "main"];
    let log = succeed(Command::new("git").arg("-C").arg(&origin.repository).args(log));
    assert_eq!(log, "claude was here\nfirst\n");
    let seen = std::fs::read_to_string(&api.seen).expect("the model was asked");
    let asked: Vec<&str> = seen.lines().filter(|line| line.starts_with("ASKED")).collect();
    assert!(asked.iter().all(|line| line.ends_with(KEY)), "a request without the key: {asked:?}");
    let told: String = seen.lines().filter(|line| line.starts_with("TOLD")).collect();
    assert!(!told.contains(KEY), "the agent saw the key: {told}");
    for words in ["PUSHED 0", "push refused: 1 secret found", "SECRET 1", "CLOSED", "uid=1000"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("cwd=/work/app "), "{told}");
    assert!(user.lines().skip(1).all(|line| line.ends_with(" 1000")), "{user}");
    assert!(denied.out.contains("git-gate   DENIED"), "{denied:?}");
    assert!(denied.out.contains("pipelock   DENIED CONNECT blocked.test:443"), "{denied:?}");
}

/// One step for each tool result it is shown. The fake secret is put together inside.
const MODEL: &str = r#"
import http.server, json, ssl, sys
host, port, cert, key, seen = sys.argv[1:]
STEPS = [
    ("Bash", {"command": "echo uid=$(id -u) cwd=$PWD '' && git log --oneline", "description": "look"}),
    ("Write", {"file_path": "/work/app/hello.txt", "content": "hello\n"}),
    ("Bash", {"command": "cd /work/app && git add -A && git commit -qm 'claude was here' && git push -q origin HEAD:main; echo PUSHED $?", "description": "push"}),
    ("Bash", {"command": "cd /work/app && printf 'token = \"%s%s\"\\n' ghp_ x7Kd93mZqLp0VbT4sRw8YcNf2HgJ6aUe1oXi > config.py && git add -A && git commit -qm 'add config' && git push origin HEAD:main; echo SECRET $?", "description": "push"}),
    ("Bash", {"command": "env; cat ~/.claude.json; curl -sS -m 5 https://blocked.test/ || echo CLOSED", "description": "look"}),
]
def note(*words):
    with open(seen, "a") as file: file.write(" ".join(words) + "\n")
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def asked(self):
        note("ASKED", self.command, self.path, str(self.headers.get("authorization")), str(self.headers.get("x-api-key")))
    def whole(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        self.asked(); self.whole(404, {"type": "error", "error": {"type": "not_found_error", "message": "no"}})
    def do_POST(self):
        self.asked()
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "count_tokens" in self.path: return self.whole(200, {"input_tokens": 1})
        parts = [part for m in question["messages"] if isinstance(m["content"], list) for part in m["content"]]
        results = [part for part in parts if part.get("type") == "tool_result"]
        for part in results[-1:]: note("TOLD", json.dumps(part.get("content")))
        tools = [tool.get("name") for tool in question.get("tools", [])]
        block, why = {"type": "text", "text": "ALL-DONE"}, "end_turn"
        if "Bash" in tools and len(results) < len(STEPS):
            name, arguments = STEPS[len(results)]
            block, why = {"type": "tool_use", "id": "toolu_%04d" % len(results), "name": name, "input": arguments}, "tool_use"
        usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": question["model"], "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage}
        if not question.get("stream"):
            return self.whole(200, dict(message, content=[block], stop_reason=why))
        self.send_response(200); self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
        def event(kind, **fields):
            data = ("event: %s\ndata: %s\n\n" % (kind, json.dumps(dict(type=kind, **fields)))).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data)); self.wfile.flush()
        event("message_start", message=message)
        if why == "tool_use":
            event("content_block_start", index=0, content_block=dict(block, input={}))
            event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
        else:
            event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": block["text"]})
        event("content_block_stop", index=0)
        event("message_delta", delta={"stop_reason": why, "stop_sequence": None}, usage={"output_tokens": 1})
        event("message_stop")
        self.wfile.write(b"0\r\n\r\n"); self.wfile.flush()
    def log_message(self, *words): pass
s = http.server.ThreadingHTTPServer((host, int(port)), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(cert, key)
s.socket = c.wrap_socket(s.socket, server_side=True)
print("ready", flush=True)
s.serve_forever()
"#;
