#!/usr/bin/env bash
# Sets up everything that ccproxy needs beside this file, then runs it.
#
#   ./start.sh [mitmdump arguments]   the proxy
#   ./start.sh web                    the proxy in mitmweb, to look at live flows
#   ./start.sh tunnel                 the proxy and a tunnel to it, for Cursor; says what to paste there
#   ./start.sh doctor [--json|--live] what is right, what is wrong, and what to do about it
#   ./start.sh rerun FILE             a request saved from /explain/<id> once more, against the stand-in
#   ./start.sh demo                   a tour with a stand-in for Anthropic: no account, no internet
#   ./start.sh test [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fits() { # mitmproxy 12.2.3 needs Python 3.12; older ones have holes that matter behind a tunnel
  [ -n "$1" ] && "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

find_python() {
  local candidate shim
  for candidate in python3.13 python3.12 python3.14 python3 python; do
    candidate=$(command -v "$candidate" 2>/dev/null) && fits "$candidate" && echo "$candidate" && return
  done
  # pyenv's, by pyenv itself or by where its shims are: with another HOME it does not find its own folder
  shim=$(command -v python3 2>/dev/null) || shim=""
  for candidate in {"$(pyenv root 2>/dev/null)","${shim%/shims/*}"}/versions/3.1[2-9]*/bin/python; do
    fits "$candidate" && echo "$candidate" && return
  done
  if command -v uv >/dev/null 2>&1; then # may find an interpreter, never download one
    candidate=$(uv python find --no-python-downloads '>=3.12' 2>/dev/null) && fits "$candidate" && echo "$candidate" && return
  fi
  return 1
}

set_up() { # $1: the requirements file
  local python stamp
  if ! fits .venv/bin/python; then
    if ! python=$(find_python); then
      echo "ccproxy needs Python 3.12 or newer, with venv, and found none." >&2
      echo "Install it (macOS: brew install python@3.13; Debian and Ubuntu: apt install python3 python3-venv;" >&2
      echo "elsewhere: https://www.python.org/downloads/), then run this again." >&2
      exit 1
    fi
    echo "Setting up .venv with $("$python" --version) ..."
    rm -rf .venv
    "$python" -m venv .venv
  fi
  stamp=".venv/.installed-$1"
  if [ ! -f "$stamp" ] || ! cat requirements.txt "$1" | cmp -s - "$stamp"; then
    echo "Installing $1 ..."
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1"; then
      echo "Installing the packages failed; the lines above say why. Is this machine online?" >&2
      exit 1
    fi
    cat requirements.txt "$1" >"$stamp"
  fi
}

case "${1:-run}" in
  test)
    shift
    set_up requirements-dev.txt
    exec .venv/bin/python -m pytest -n 4 --dist loadfile -m "not node and not browser and not long" "$@"
    ;;
  demo)
    set_up requirements.txt
    exec .venv/bin/python -m addon.cli.demo
    ;;
  tunnel | doctor | rerun)
    set_up requirements.txt
    exec .venv/bin/python -m "addon.cli.$1" "${@:2}"
    ;;
  web)
    shift
    set_up requirements.txt
    exec .venv/bin/python -m addon.cli.launch mitmweb "$@"
    ;;
  run | *)
    if [ "${1:-}" = run ]; then
      shift
    elif [[ "${1:-}" == [!-]* ]]; then
      echo "start.sh knows no '$1'. It knows: run web tunnel doctor rerun demo test." >&2
      exit 2
    fi
    set_up requirements.txt
    exec .venv/bin/python -m addon.cli.launch mitmdump "$@"
    ;;
esac
