#!/usr/bin/env python3
"""Times the gate against stock git on the same repository: ./dev bench [--commits N] [--rounds N] [--only a,b]

./dev bench memory pushes 1 GB of many blobs and one blob of 200 MB through a gate and tells its memory at the peak.

Columns: through the gate (release build, its origin a git daemon), straight from that git daemon, from the local path.
Medians of whole git commands in milliseconds, in alternation; every result is checked outside the timed part.
Nothing here is a test: it never fails because something is slow.
"""
import argparse
import contextlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = [a + b for a in "get set read write open push pull want have tip ref pack blob tree".split() for b in ("", "_at", "_of", "er")]


def run(args, cwd=None, stdin=None):
    return subprocess.run(args, cwd=cwd, input=stdin, env=ENV, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode().strip()


def sample(path, commits, refs):
    """A repository whose deltas look like a project's: each commit edits a few lines of a few files."""
    rng, trees, out = random.Random(1), {}, []
    line = lambda: "    " + " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9))) + ";"
    for n in range(commits):
        body = b""
        for _ in range(rng.randint(1, 3)):
            name = f"src/m{rng.randrange(40)}/{rng.choice(WORDS)}.rs"
            text = trees.setdefault(name, [line() for _ in range(rng.randint(10, 200))])
            for _ in range(rng.randint(1, 6)):
                text.insert(rng.randrange(len(text) + 1), line())
            data = "\n".join(text).encode() + b"\n"
            body += b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data)
        out.append(b"commit refs/heads/main\nmark :%d\ncommitter Dev <dev@example.org> %d +0000\ndata 5\nwork\n%s" % (n + 1, 1_500_000_000 + n * 600, body))
    out += [b"reset refs/heads/topic/%05d\nfrom :%d\n\n" % (n, n % commits + 1) for n in range(refs)]
    run(["git", "init", "-q", "--bare", "-b", "main", path])
    run(["git", "fast-import", "--quiet"], path, b"".join(out))
    run(["git", "pack-refs", "--all"], path)
    run(["git", "repack", "-adq"], path)


def advance(path, branch="main", content=None):
    text = (content or str(time.time())).encode()
    stream = b"commit refs/heads/%s\ncommitter D <d@example.org> %d +0000\ndata 4\nmove\nfrom refs/heads/%s^0\nM 100644 inline moved\ndata %d\n%s\n" % (
        branch.encode(), time.time(), branch.encode(), len(text), text)
    run(["git", "fast-import", "--quiet", "--force"], path, stream)
    return run(["git", "rev-parse", branch], path)


@contextlib.contextmanager
def serving(args, ready, **more):
    process = subprocess.Popen(args, env=ENV, **more)
    try:
        yield ready(process)
    finally:
        process.terminate()
        process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening(port):
    def ready(_):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return port
    return ready


def doors(process):
    line = process.stdout.readline().decode()
    return next(word for word in line.split() if word.startswith("git://")).split("/")[2]


class Bench:
    def __init__(self, tmp, origin, ends, rounds):
        self.tmp, self.origin, self.ends, self.rounds = tmp, origin, ends, rounds

    def table(self, name, run_one, ends=None):
        times = {end: [] for end in (ends or self.ends)}
        for n in range(self.rounds):
            for end in sorted(times, reverse=n % 2 == 1):
                times[end].append(run_one(end, self.ends[end]))
        cells = "".join(f"{statistics.median(times[e]) * 1000:10.1f}" if e in times else f"{'':10}" for e in self.ends)
        print(f"{name:<28}{cells}", flush=True)

    def timed(self, *args, cwd=None):
        start = time.perf_counter()
        run(["git", *args], cwd)
        return time.perf_counter() - start

    def ls_remote(self):
        self.table("ls-remote", lambda _, url: self.timed("ls-remote", url))

    def noop_fetch(self):
        dirs = {end: self.tmp / f"noop-{end}" for end in self.ends}
        for end, url in self.ends.items():
            run(["git", "clone", "-q", "--mirror", url, dirs[end]])
        self.table("fetch of nothing", lambda end, _: self.timed("fetch", "-q", cwd=dirs[end]))

    def one_commit(self):
        dirs = {end: self.tmp / f"incr-{end}" for end in self.ends}
        for end, url in self.ends.items():
            run(["git", "clone", "-q", "--mirror", url, dirs[end]])

        def one(end, _):
            tip = advance(self.origin)
            took = self.timed("fetch", "-q", cwd=dirs[end])
            assert run(["git", "rev-parse", "main"], dirs[end]) == tip, f"{end} is stale"
            return took
        self.table("fetch of one commit", one)

    def clone(self):
        def one(end, url):
            took = self.timed("clone", "-q", "--bare", url, self.tmp / "clone")
            shutil.rmtree(self.tmp / "clone")
            return took
        self.table("clone --bare", one)

    def crowd(self):
        def one(end, url):
            start = time.perf_counter()
            with ThreadPoolExecutor(64) as pool:
                list(pool.map(lambda _: run(["git", "ls-remote", url]), range(64)))
            return time.perf_counter() - start
        self.table("64 ls-remotes at once", one)

    def push(self):
        work = self.tmp / "push"
        run(["git", "clone", "-q", "--bare", self.origin, work])

        def one(end, url):
            run(["git", "update-ref", f"refs/heads/{end}", "main"], work)
            tip = advance(work, end)
            took = self.timed("push", "-q", "-f", url, f"{end}:refs/heads/bench/{end}", cwd=work)
            assert run(["git", "rev-parse", f"refs/heads/bench/{end}"], self.origin) == tip, f"{end} lost the push"
            return took
        self.table("push of one commit (scanned)", one, ["gate", "daemon"])


def memory():
    """The gate's own memory while a large push goes through it: what it allocated, and all that it had mapped."""
    rng = random.Random(7)
    line = lambda: "    " + " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9))) + ";\n"
    chunks = ["".join(line() for _ in range(400)).encode() for _ in range(60)]

    def text(size, name):
        out = [b"// %s\n" % name]
        while size > 0:
            out.append(rng.choice(chunks))
            size -= len(out[-1])
        return b"".join(out)

    def commit(work, files):
        """Straight into the object store, without time spent on compression."""
        importer = subprocess.Popen(["git", "-c", "core.compression=0", "fast-import", "--quiet", "--force", "--depth=0"], cwd=work, env=ENV, stdin=subprocess.PIPE)
        out = importer.stdin
        out.write(b"commit refs/heads/large\ncommitter B <b@example.org> %d +0000\ndata 5\nlarge\n" % time.time())
        for name, data in files:
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
        out.close()
        assert importer.wait() == 0

    def peak(pid, push):
        """Runs the push; answers the highest anonymous memory seen meanwhile, sampled, and the kernel's own peak of all."""
        field = lambda name: next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith(name)) // 1024
        started, highest = time.perf_counter(), 0
        while push.poll() is None:
            highest = max(highest, field("RssAnon"))
            time.sleep(0.02)
        assert push.returncode == 0, "the push did not land"
        return highest, field("VmHWM"), time.perf_counter() - started

    with tempfile.TemporaryDirectory(prefix="git-gate-memory-") as tmp, contextlib.ExitStack() as stack:
        tmp = Path(tmp)
        ENV.update(HOME=str(tmp), GIT_CONFIG_GLOBAL=str(tmp / "gitconfig"))
        (tmp / "gitconfig").write_text("[gc]\n\tauto = 0\n[safe]\n\tdirectory = *\n[pack]\n\tcompression = 0\n\twindow = 0\n")
        (tmp / "gate.toml").write_text(f'data = "{tmp}/data"\n[listen]\ngit = "127.0.0.1:0"\n[[repo]]\nname = "*"\norigin = "file://{tmp}/origins/*"\n[limits]\nscan = "1h"\nforward = "1h"\n')
        print("MB of the gate itself; its scanner is a process of its own")
        print(f"{'':<28}{'anonymous':>10}{'peak':>10}{'s':>10}")
        log = open(tmp / "gate.log", "w")
        for name, files in [
            ("1 GB in 5000 blobs", lambda: ((b"d%02d/f%04d.c" % (n % 50, n), text(200_000, b"%d" % n)) for n in range(5000))),
            ("one blob of 200 MB", lambda: [(b"large.txt", text(200_000_000, b"large"))]),
            ("one blob of 200 MB, noise", lambda: [(b"large.bin", random.Random(1).randbytes(200_000_000))]),
        ]:
            origin, work = tmp / "origins" / "app", tmp / "work"
            run(["git", "init", "-q", "--bare", origin])
            run(["git", "init", "-q", "--bare", work])
            commit(work, files())
            # a gate of its own for each, so that none inherits what another left in its heap
            gate = [GATE, "serve", "--config", tmp / "gate.toml"]
            process = subprocess.Popen(gate, env=ENV, stdout=subprocess.PIPE, stderr=log)
            stack.callback(process.kill)
            push = subprocess.Popen(["git", "push", "-q", f"git://{doors(process)}/app", "large"], cwd=work, env=ENV)
            anonymous, all_of_it, seconds = peak(process.pid, push)
            assert run(["git", "rev-parse", "large"], origin) == run(["git", "rev-parse", "large"], work)
            print(f"{name:<28}{anonymous:>10}{all_of_it:>10}{seconds:>10.1f}", flush=True)
            process.terminate()
            process.wait()
            for path in (tmp / "origins", work, tmp / "data"):
                shutil.rmtree(path)


def main():
    if sys.argv[1:] == ["memory"]:
        return memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=3000)
    parser.add_argument("--refs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="ls_remote,noop_fetch,one_commit,clone,crowd,push")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="git-gate-bench-") as tmp, contextlib.ExitStack() as stack:
        tmp = Path(tmp)
        ENV.update(HOME=str(tmp), GIT_CONFIG_GLOBAL=str(tmp / "gitconfig"))
        (tmp / "gitconfig").write_text("[user]\n\tname = B\n\temail = b@example.org\n[gc]\n\tauto = 0\n[safe]\n\tdirectory = *\n")
        origin = tmp / "origins" / "app.git"
        origin.parent.mkdir()
        print(f"a repository of {options.commits} commits and {options.refs} branches; {options.rounds} rounds; milliseconds")
        sample(origin, options.commits, options.refs)
        port = free_port()
        daemon = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={origin.parent}", "--export-all", "--enable=receive-pack", "--max-connections=0"]
        stack.enter_context(serving(daemon, listening(port), stderr=subprocess.DEVNULL))
        gate = [GATE, "serve", "--origin", f"git://127.0.0.1:{port}/app.git", "--name", "app", "--data", tmp / "data", "--listen-git", "127.0.0.1:0"]
        addr = stack.enter_context(serving(gate, doors, stdout=subprocess.PIPE, stderr=open(tmp / "gate.log", "w")))
        ends = {"gate": f"git://{addr}/app.git", "daemon": f"git://127.0.0.1:{port}/app.git", "path": f"file://{origin}"}
        print(f"{'':<28}" + "".join(f"{end:>10}" for end in ends))
        bench = Bench(tmp, origin, ends, options.rounds)
        run(["git", "ls-remote", ends["gate"]])
        for name in options.only.split(","):
            getattr(bench, name)()


GATE = os.environ.get("GIT_GATE_BIN") or ROOT / "target/release/git-gate"
ENV = {"PATH": f"{ROOT}/.tools:{os.environ['PATH']}", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}

if __name__ == "__main__":
    sys.exit(main())
