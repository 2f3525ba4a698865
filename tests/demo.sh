#!/usr/bin/env bash
# The main job on real input: ./dev demo [ORIGIN-URL]. Leaves nothing running and nothing behind.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
gate_bin=${GIT_GATE_BIN:-$root/target/debug/git-gate}
tmp=$(mktemp -d)
gate_pid='' origin_pid=''

finish() {
	local failed=$?
	[ -z "$gate_pid" ] || kill "$gate_pid" 2>/dev/null || true
	stop_origin
	wait 2>/dev/null || true
	if [ "$failed" != 0 ]; then
		printf '\nThe demo failed. The gate said:\n' >&2
		tail -n 20 "$tmp/gate.log" >&2 2>/dev/null || true
	fi
	rm -rf "$tmp"
}
# The daemon leads a group of its own, so that its open connections end with it; those ignore SIGTERM.
stop_origin() {
	[ -z "$origin_pid" ] || kill -KILL -- "-$origin_pid" 2>/dev/null || true
	origin_pid=''
}
trap finish EXIT
trap 'exit 130' INT TERM

# The demo's git sees none of your configuration, and never asks.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$tmp/gitconfig GIT_TERMINAL_PROMPT=0
git config --global user.name 'Demo Agent'
git config --global user.email agent@example.org
git config --global init.defaultBranch main
git config --global advice.detachedHead false

step=0
say() { step=$((step + 1)); printf '\n%d. %s\n' "$step" "$*"; }
note() { printf '   %s\n' "$*"; }
shown() { sed 's/^/   | /'; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

start_gate() { # ARGS…: starts the gate and waits for the line with its URL
	mkfifo "$tmp/doors"
	PATH=$root/.tools:$PATH "$gate_bin" serve "$@" --name demo --data "$tmp/data" --listen-git 127.0.0.1:0 \
		>"$tmp/doors" 2>"$tmp/gate.log" &
	gate_pid=$!
	local line
	exec 3<"$tmp/doors"
	read -r -t 60 line <&3 || fail "the gate did not start"
	gate=$(grep -o 'git://[^ ]*' <<<"$line" | sed 's#\(git://[^/]*\).*#\1/demo.git#')
}

start_origin() { # a real git daemon on a free port
	local port
	for _ in 1 2 3 4 5 6 7 8 9; do
		port=$((20000 + RANDOM % 20000))
		setsid git daemon --reuseaddr --listen=127.0.0.1 --port=$port --base-path="$tmp" --export-all \
			--enable=receive-pack --informative-errors "$tmp/origin.git" >"$tmp/origin.log" 2>&1 &
		origin_pid=$!
		disown "$origin_pid" # so that the shell says nothing when it is killed
		for _ in $(seq 50); do
			kill -0 $origin_pid 2>/dev/null || break
			if (exec 4<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then
				origin=git://127.0.0.1:$port/origin.git
				return
			fi
			sleep 0.1
		done
	done
	fail "no free port for the sample origin"
}

commit_at_origin() { # FILE TEXT: somebody else's commit, not through the gate
	git clone -q "$tmp/origin.git" "$tmp/other" 2>/dev/null
	printf '%s\n' "$2" >"$tmp/other/$1"
	git -C "$tmp/other" add . && git -C "$tmp/other" commit -q -m "Add $1"
	git -C "$tmp/other" push -q origin main
	rm -rf "$tmp/other"
}

if [ $# -gt 0 ]; then
	origin=$1 keys=()
	case $origin in
	/*) origin=file://$origin ;;
	*://*) ;;
	*) [ ! -d "$origin" ] || origin=file://$(cd "$origin" && pwd) ;;
	esac
	case $origin in ssh://* | *@*:*)
		keys=(--known-hosts "$HOME/.ssh/known_hosts")
		for key in id_ed25519 id_ecdsa id_rsa; do
			[ ! -f "$HOME/.ssh/$key" ] || { keys+=(--identity "$HOME/.ssh/$key"); break; }
		done ;;
	esac
	say "The gate starts in front of $origin"
	start_gate --origin "$origin" "${keys[@]}"
	note "$gate"
	say "A clone through the gate, with this machine's git"
	git clone "$gate" "$tmp/agent" 2>&1 | shown
	git -C "$tmp/agent" log --oneline -5 | shown
	say "A fetch: the gate asks the origin again before it answers"
	git -C "$tmp/agent" fetch 2>&1 | shown
	note "up to date with $(git -C "$tmp/agent" for-each-ref refs/remotes/origin --format=x | wc -l) branches"
	note "(nothing is pushed to an origin that is not the demo's own)"
	printf '\nDone. Nothing is left running.\n'
	exit 0
fi

say "A sample origin: a bare repository behind git daemon"
git init -q --bare "$tmp/origin.git"
git -C "$tmp/origin.git" config receive.advertisePushOptions true
commit_at_origin README.md 'A sample project.'
start_origin
note "$origin"

say "The gate starts in front of it"
start_gate --origin "$origin"
note "$gate"

say "An agent clones through the gate, with this machine's git"
git clone -q "$gate" "$tmp/agent"
git -C "$tmp/agent" log --oneline | shown

say "Somebody commits to the origin; the agent's next fetch has it"
commit_at_origin NEWS.md 'Something new.'
git -C "$tmp/agent" pull -q
git -C "$tmp/agent" log --oneline | shown
[ -f "$tmp/agent/NEWS.md" ] || fail "the new commit did not come through"

say "The agent pushes a clean commit; the gate scans it and hands it on"
echo 'fn main() {}' >"$tmp/agent/main.rs"
git -C "$tmp/agent" add . && git -C "$tmp/agent" commit -q -m 'Add a program'
git -C "$tmp/agent" push origin main 2>&1 | shown
[ "$(git -C "$tmp/agent" rev-parse main)" = "$(git -C "$tmp/origin.git" rev-parse main)" ] || fail "it is not at the origin"
note "at the origin now: $(git -C "$tmp/origin.git" log --oneline -1 main)"

say "The agent pushes a commit with a (made-up) access token in it"
secret=ghp_$(LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom 2>/dev/null | head -c 36 || true)
echo "token = \"$secret\"" >"$tmp/agent/config.toml"
git -C "$tmp/agent" add . && git -C "$tmp/agent" commit -q -m 'Add the configuration'
if git -C "$tmp/agent" push origin main >"$tmp/push" 2>&1; then fail "the secret went through"; fi
shown <"$tmp/push"
! grep -qF "$secret" "$tmp/push" || fail "the refusal shows the secret"
note "at the origin still: $(git -C "$tmp/origin.git" log --oneline -1 main)"

say "The origin stops; the gate refuses rather than show what may be old"
stop_origin
if git ls-remote "$gate" >"$tmp/ls" 2>&1; then fail "stale refs were served"; fi
shown <"$tmp/ls"

printf '\nDone. Nothing is left running.\n'
