"""Starting as a new user does: what start.sh does in a fresh checkout, and what it says when something is missing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.proxy import ROOT
from tests.ports import free_port

COREUTILS = ("bash", "dirname", "readlink")
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
THIS_PYTHON = f"""#!/bin/sh\nexec {sys.executable} "$@"\n"""
NEEDED = ("start.sh", "pyproject.toml", "addon/__init__.py")
PROBE = """
import sys
def main(arguments):
    print("PROBE", sys.prefix, arguments)
    return 3
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A fresh checkout whose doctor says what it runs in and ends with 3, with a PATH that has no Python and requirements
    that need no internet."""
    tree = tmp_path / "checkout"
    tree.mkdir()
    for name in NEEDED:
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for room in ("cli", "core"):
        shutil.copytree(ROOT / "addon" / room, tree / "addon" / room)
    (tree / "addon" / "cli" / "doctor.py").write_text(PROBE)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tree / name).write_text("--no-index\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COREUTILS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return tree


def add(tree: Path, name: str, script: str) -> None:
    path = tree.parent / "bin" / name
    path.write_text(script)
    path.chmod(0o755)


def start(
    tree: Path, *arguments: str, path: str | None = None, script: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script or tree / "start.sh"), *arguments],
        env={"PATH": path or str(tree.parent / "bin"), "HOME": str(tree.parent)},
        cwd=tree.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_without_python_it_says_what_to_install(tree: Path) -> None:
    ended = start(tree)
    assert ended.returncode == 1
    assert "needs Python 3.12 or newer" in ended.stderr
    assert "apt install python3" in ended.stderr and "uv python install" in ended.stderr


def test_a_python_that_is_too_old_is_not_taken(tree: Path) -> None:
    add(tree, "python3", OLD_PYTHON)
    ended = start(tree)
    assert (ended.returncode, "needs Python 3.12" in ended.stderr) == (1, True)
    assert not (tree / ".venv").exists()


@pytest.mark.parametrize(
    ("versions", "taken"),
    [
        (["3.12.1"], "3.12.1"),
        (["3.12.1", "3.13.0"], "3.13.0"),
        (["3.12.1", "3.13.9", "3.13.10"], "3.13.10"),
        (["3.12.1", "3.13.0", "3.14.0 broken"], "3.13.0"),
        (["3.13.0", "3.14.0"], "3.14.0"),
        (["3.13.0", "3.14.0t", "3.15.0"], "3.13.0"),
    ],
    ids=str,
)
def test_pyenvs_newest_that_works_is_found_with_another_home(
    tree: Path, versions: list[str], taken: str
) -> None:
    """Its shims fail then, since they look for the versions below HOME."""
    pyenv = tree.parent / "pyenv"
    (pyenv / "shims").mkdir(parents=True)
    for name in ("python3", "python3.13"):
        (pyenv / "shims" / name).write_text(OLD_PYTHON)
        (pyenv / "shims" / name).chmod(0o755)
    for version in versions:
        python = pyenv / "versions" / version.removesuffix(" broken") / "bin" / "python"
        python.parent.mkdir(parents=True)
        said = THIS_PYTHON.replace("exec", f"echo taken {version} >&2\nexec")
        python.write_text(OLD_PYTHON if "broken" in version else said)
        python.chmod(0o755)
    ended = start(tree, "help", path=f"{pyenv / 'shims'}:{tree.parent / 'bin'}")
    assert "demo" in ended.stdout
    assert ended.stderr == f"taken {taken}\n"


def test_the_newest_python_on_the_path_is_taken(tree: Path) -> None:
    for name in ("python3.12", "python3.13", "python3"):
        add(tree, name, THIS_PYTHON.replace("exec", f"echo taken {name} >&2\nexec"))
    add(tree, "python3.14", OLD_PYTHON)
    assert start(tree, "help").stderr == "taken python3.13\n"


def test_a_first_start_installs_and_a_second_does_not(tree: Path) -> None:
    add(tree, "python3.13", THIS_PYTHON)
    first = start(tree, "doctor", "--json")
    assert (first.returncode, first.stderr) == (3, "")
    assert "Making" in first.stdout and "Installing" in first.stdout
    assert f"PROBE {tree / '.venv'} ['--json']" in first.stdout
    again = start(tree, "doctor", "--json")
    assert again.stdout == f"PROBE {tree / '.venv'} ['--json']\n"
    (tree / "requirements.txt").write_text("--no-index\n# changed\n")
    assert "Installing" in start(tree, "doctor").stdout


@pytest.mark.thorough
def test_a_venv_without_a_usable_python_is_made_anew(tree: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tree / ".venv")], check=True)
    (tree / ".venv" / "pyvenv.cfg").write_text("home = /nowhere\n")
    (tree / ".venv" / "bin" / "python").unlink()
    add(tree, "python3.13", THIS_PYTHON)
    ended = start(tree, "doctor")
    assert f"PROBE {tree / '.venv'} []" in ended.stdout, ended.stderr


@pytest.mark.parametrize("python", [True, False], ids=["with-a-python", "without"])
def test_a_folder_that_is_no_venv_is_not_deleted(tree: Path, python: bool) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tree / ".venv")], check=True)
    (tree / ".venv" / "pyvenv.cfg").unlink()
    if not python:
        shutil.rmtree(tree / ".venv" / "bin")
    add(tree, "python3.13", THIS_PYTHON)
    (tree / ".venv" / "theirs").write_text("")
    ended = start(tree, "doctor")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"{tree / '.venv'} is not a virtual environment. Move it away, or remove it.\n"
    )
    assert (tree / ".venv" / "theirs").is_file()


@pytest.mark.thorough
def test_a_venv_without_pip_as_uv_makes_it_gets_pip(tree: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tree / ".venv")], check=True)
    ended = start(tree, "doctor")
    assert f"PROBE {tree / '.venv'} []" in ended.stdout, ended.stderr
    assert "Making" not in ended.stdout


def test_a_checkout_that_was_moved_starts(tmp_path: Path) -> None:
    """The scripts in .venv/bin name the Python of the old place."""
    moved = tmp_path / "moved" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(moved)], check=True)
    (site,) = moved.glob("lib/python*/site-packages")
    (site / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = moved / "bin" / "mitmdump"
    script.write_text(f"#!{tmp_path / 'old' / '.venv' / 'bin' / 'python'}\n")
    script.chmod(0o755)
    ended = subprocess.run(
        [str(moved / "bin" / "python"), str(ROOT / "addon" / "cli"), "run", "--version"],
        env={"HOME": str(tmp_path), "CCPROXY_ENV_FILE": "", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Mitmproxy: 12." in ended.stdout


@pytest.mark.thorough
def test_without_internet_the_installation_says_so_and_is_tried_again(tree: Path) -> None:
    add(tree, "python3.13", THIS_PYTHON)
    (tree / "requirements.txt").write_text("--no-index\nmitmproxy>=99\n")
    for _ in range(2):
        ended = start(tree)
        assert ended.returncode == 1
        assert "No matching distribution found for mitmproxy>=99" in ended.stderr
        assert "Is this machine online?" in ended.stderr


def test_ctrl_c_while_packages_are_installed_is_no_traceback(tree: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tree / ".venv")], check=True)
    (site,) = (tree / ".venv").glob("lib/python*/site-packages")
    (site / "pip.py").write_text("import time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [str(tree / "start.sh"), "doctor"],
        env={"PATH": str(tree.parent / "bin"), "HOME": str(tree.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert "Installing" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: pip gets it too
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.thorough
def test_a_symlink_elsewhere_leaves_the_venv_there_alone(tree: Path) -> None:
    add(tree, "python3.13", THIS_PYTHON)
    elsewhere = tree.parent / "project"
    (elsewhere / ".venv").mkdir(parents=True)
    (elsewhere / ".venv" / "theirs").write_text("")
    link = elsewhere / "ccproxy"
    link.symlink_to("../checkout/start.sh")
    ended = start(tree, "doctor", script=link)
    assert f"PROBE {tree / '.venv'}" in ended.stdout
    assert [p.name for p in (elsewhere / ".venv").iterdir()] == ["theirs"]


def test_help_and_mistakes_need_no_packages(tree: Path) -> None:
    add(tree, "python3.13", THIS_PYTHON)
    for arguments in (("--help",), ("help",), ("demo", "--help"), ("--version",)):
        ended = start(tree, *arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
    ended = start(tree, "tunel")
    assert (ended.returncode, "Did you mean tunnel?" in ended.stderr) == (2, True)
    assert not (tree / ".venv").exists()


def test_a_missing_package_is_one_sentence(tree: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-S", str(tree / "addon" / "cli"), "demo"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "is missing: ./start.sh installs it." in ended.stderr
    assert "Traceback" not in ended.stderr


def launch(
    tmp_path: Path, *, module: str = "addon.cli.launch", **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, "mitmdump"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CCPROXY_ENV_FILE": "", **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_bad_env_file_names_each_bad_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CONTEXT_STRATEGY=magic\nPORT=eighty\nANTHROPIC_API_KEY=sk-ant-api03-canary\n")
    ended = launch(tmp_path, CCPROXY_ENV_FILE=str(file))
    assert ended.returncode == 1
    assert "CONTEXT_STRATEGY: 'magic' is not allowed" in ended.stderr
    assert "PORT: 'eighty' is not allowed: use a port number" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout


def test_an_env_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("PORT=8082\n".encode("utf-16"))
    ended = launch(tmp_path, CCPROXY_ENV_FILE=str(file))
    assert ended.returncode == 1
    assert "Save it as text in UTF-8" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", ["addon.cli.launch", "addon.cli.tunnel"])
def test_a_taken_port_is_one_sentence(tmp_path: Path, module: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = launch(tmp_path, module=module, PORT=port, TUNNEL_URL="https://t.example")
    assert ended.returncode == 1
    said = (ended.stdout + ended.stderr).strip()
    assert (
        said == f"Port {port} is in use by another program. Stop it, or set PORT to another port."
    )


def test_an_option_with_a_bad_value_is_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "addon.cli.launch",
            "mitmdump",
            "--set",
            "ccproxy_context_strategy=magic",
        ],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "CCPROXY_ENV_FILE": "",
            "PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "CONTEXT_STRATEGY: 'magic' is not allowed" in ended.stderr
    assert "Traceback" not in ended.stderr


# ---- start.bat, as far as it can be checked without Windows

BATCH = (ROOT / "start.bat").read_text()
SHELL = (ROOT / "start.sh").read_text()


def test_both_scripts_only_find_a_python_and_hand_over() -> None:
    assert 'exec "$python" "$root/addon/cli" bootstrap "$@"' in SHELL
    assert r'%PYTHON% "%~dp0addon\cli" bootstrap %*' in BATCH
    assert "pip " not in SHELL + BATCH


def test_windows_output_is_utf8_from_the_start() -> None:
    assert "set PYTHONUTF8=1" in BATCH


def test_every_label_exists_and_every_block_is_closed() -> None:
    code = [line for line in BATCH.splitlines() if not line.startswith("rem ")]
    labels = {line[1:].strip() for line in code if line.startswith(":")}
    assert set(re.findall(r"goto (\w+)", BATCH)) <= labels
    quoted = re.sub(r'"[^"]*"', "", "\n".join(code))
    depth = 0
    for character in quoted:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth in (0, 1)
    assert depth == 0


def test_blocks_echo_no_bracket_that_would_close_them() -> None:
    echoes = [line for line in BATCH.splitlines() if line.strip().startswith("echo ")]
    assert echoes
    assert [line for line in echoes if "(" in line or ")" in line] == []


def test_windows_gets_the_line_endings_that_it_needs() -> None:
    assert "*.bat text eol=crlf" in (ROOT / ".gitattributes").read_text()
