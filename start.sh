#!/usr/bin/env bash
# Finds a Python for ccproxy and hands everything over to it. `./start.sh help` shows the commands.
set -euo pipefail
self=${BASH_SOURCE[0]}
while [ -L "$self" ]; do # called by a symlink: what counts is the folder of this file, not the link's
  target=$(readlink "$self")
  case $target in /*) self=$target ;; *) self=$(dirname "$self")/$target ;; esac
done
root=$(CDPATH="" cd "$(dirname "$self")" && pwd)

# $2: imports beyond `sys`; to make a .venv it takes venv and ensurepip, to be one it does not
fits() { # mitmproxy 12.2.3 needs Python 3.12; older versions of mitmproxy have vulnerabilities: see requirements.txt
  [ -n "$1" ] && "$1" -c "import sys${2-, venv, ensurepip}; sys.exit(sys.version_info < (3, 12))" >/dev/null 2>&1
}

find_python() {
  local version candidate shim newest=""
  fits "$root/.venv/bin/python" "" && echo "$root/.venv/bin/python" && return
  # pyenv's, by pyenv itself or by where its shims are: with another HOME it does not find its own folder
  shim=$(command -v python3 2>/dev/null) || shim=""
  set -- "$(pyenv root 2>/dev/null)" "${shim%/shims/*}"
  for version in 3.14 3.13 3.12; do # all packages have wheels for these: an older one is better than a newer one without
    candidate=$(command -v "python$version" 2>/dev/null) && fits "$candidate" && echo "$candidate" && return
    for candidate in {"$1","$2"}/versions/"$version".{[0-9],[0-9][0-9]}/bin/python; do
      fits "$candidate" && newest=$candidate
    done
    [ -n "$newest" ] && echo "$newest" && return
  done
  for candidate in python3 python; do
    candidate=$(command -v "$candidate" 2>/dev/null) && fits "$candidate" && echo "$candidate" && return
  done
  if command -v uv >/dev/null 2>&1; then # may find an interpreter, never download one
    candidate=$(uv python find --no-python-downloads '>=3.12' 2>/dev/null) && fits "$candidate" && echo "$candidate" && return
  fi
  return 1
}

if ! python=$(find_python); then
  echo "ccproxy needs Python 3.12 or newer, with venv, and found none. Install it, then run this again:" >&2
  echo "  macOS              brew install python@3.13" >&2
  echo "  Debian, Ubuntu     apt install python3 python3-venv; Debian 12 has 3.11, so use the next line there" >&2
  echo "  any, without root  curl -LsSf https://astral.sh/uv/install.sh | sh && uv python install 3.13" >&2
  echo "  elsewhere          https://www.python.org/downloads/" >&2
  exit 1
fi
exec "$python" "$root/addon/cli" bootstrap "$@"
