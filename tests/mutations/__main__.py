"""Do the tests notice? Forty small faults, one at a time, each against the tests that run its line.

    python -m tests.mutations cover DATA              the tests once, with coverage: which test runs which line
    python -m tests.mutations draw DATA > drawn.json  a seeded draw of mutations of covered lines, over all rooms
    python -m tests.mutations run DATA drawn.json     each of them; says caught or survived, and by which test

`--tree` is the checkout that is meant, by default this one. A draw can be run on another commit: each mutation's line
is looked for there by its text, its neighbours and its file. Needs `coverage` beside requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

import coverage

from tests.mutations.mutate import Mutation, applied, draw, find_again, of_tree

HERE = Path(__file__).resolve().parent
MARKED = "not node and not browser and not faketime and not long"
TEST_SECONDS, RUN_SECONDS = 60, 1500
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".*_cache")


# ---- which test runs which line


def cover(tree: Path, data: Path, arguments: Sequence[str]) -> None:
    data.mkdir(parents=True, exist_ok=True)
    site = data / "site"
    site.mkdir(exist_ok=True)
    for name in ("measured.py", "following.py"):
        shutil.copy(HERE / name, site)
    (site / "sitecustomize.py").write_text("import measured\nmeasured.begin_in_child()\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "MUTATIONS_DATA": str(data),
        "MUTATIONS_TREE": str(tree),
    }
    line = [sys.executable, "-m", "pytest", "-q", "-p", "following", "-p", "no:cacheprovider"]
    line += ["-m", MARKED, "--dist", "loadfile", "-n", "2", *arguments]
    subprocess.run(line, cwd=tree, env=env, check=False)
    combined = coverage.Coverage(
        data_file=str(data / "coverage"), config_file=False, messages=False
    )
    combined.combine([str(path) for path in data.glob("part.*")])
    combined.save()
    report(tree, data)


def report(tree: Path, data: Path) -> None:
    os.chdir(tree)
    measured = coverage.Coverage(
        data_file=str(data / "coverage"),
        branch=True,
        source=[str(tree / "addon")],
        config_file=False,
    )
    measured.load()
    measured.json_report(outfile=str(data / "coverage.json"))
    totals = json.loads((data / "coverage.json").read_text())["totals"]
    print(json.dumps(totals, indent=1))


@dataclass(frozen=True, slots=True)
class Ran:
    """The tests that ran the lines of each file, and how long each test takes."""

    by_line: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]

    @classmethod
    def load(cls, tree: Path, data: Path) -> Ran:
        found = coverage.CoverageData(basename=str(data / "coverage"))
        found.read()
        by_line: dict[str, dict[int, frozenset[str]]] = {}
        for path in found.measured_files():
            file = Path(path).relative_to(tree).as_posix()
            contexts = found.contexts_by_lineno(path)
            by_line[file] = {line: frozenset(tests) - {""} for line, tests in contexts.items()}
        seconds = {}
        for times in data.glob("times-*"):
            for line in times.read_text(encoding="utf-8").splitlines():
                taken, _, test = line.partition(" ")
                seconds[unquoted(test)] = float(taken)
        return cls(by_line, seconds)

    def tests(self, mutation: Mutation) -> set[str]:
        """Those that run its line; for what runs at import, those that run any line of the file's functions."""
        lines = self.by_line.get(mutation.file, {})
        if "()" in mutation.function:
            return set(lines.get(mutation.line, ()))
        return {test for tests in lines.values() for test in tests}

    def covers(self, mutation: Mutation) -> bool:
        return bool(self.tests(mutation))

    def in_order(self, tests: Iterable[str]) -> list[str]:
        """In this process before those that start proxies; a file's tests together, the quickest files first."""
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in tests:
            by_file[test.partition("::")[0]].append(test)
        cost = {
            file: sum(self.seconds.get(t, 1.0) for t in found) for file, found in by_file.items()
        }
        files = sorted(by_file, key=lambda file: ("/e2e/" in file, cost[file]))
        return [test for file in files for test in sorted(by_file[file])]


def unquoted(quoted: str) -> str:
    return str(ast.literal_eval(quoted))


# ---- one mutation


@dataclass(frozen=True, slots=True)
class Outcome:
    outcome: str
    by: str
    tests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A copy of the tree to mutate, and one that stays as it is."""

    tree: Path
    mutated: Path
    pristine: Path

    @classmethod
    def make(cls, tree: Path, folder: Path) -> Bench:
        bench = cls(tree, folder / "mutated", folder / "pristine")
        for copy in (bench.mutated, bench.pristine):
            shutil.copytree(tree, copy, ignore=NOT_COPIED, symlinks=True)
            (copy / ".venv").symlink_to((tree / ".venv").resolve())
        return bench

    def judge(self, mutation: Mutation, tests: list[str]) -> Outcome:
        begun = time.monotonic()
        path = self.mutated / mutation.file
        source = path.read_text(encoding="utf-8")
        left = list(tests)
        self._write(path, applied(mutation, source))
        try:
            while left:
                failed = self._run(self.mutated, left)
                if failed is None:
                    break
                if failed in left and self._run(self.pristine, [failed]):
                    left = left[left.index(failed) + 1 :]  # it fails without the mutation too
                    continue
                return Outcome("caught", failed, len(tests), time.monotonic() - begun)
        finally:
            self._write(path, source)
        return Outcome(
            "survived" if tests else "not covered", "", len(tests), time.monotonic() - begun
        )

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def _run(self, tree: Path, tests: list[str]) -> str | None:
        """The first test that fails; None when all pass."""
        chosen = tree.parent / "chosen.txt"
        failed = chosen.with_suffix(".failed")
        failed.unlink(missing_ok=True)
        chosen.write_text("".join(f"{test!r}\n" for test in tests), encoding="utf-8")
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "chosen",
            "-p",
            "no:cacheprovider",
        ]
        line += ["--timeout", str(TEST_SECONDS), *self.flags(tree), *files]
        env = {**os.environ, "PYTHONPATH": str(HERE), "MUTATIONS_CHOSEN": str(chosen)}
        try:
            ended = subprocess.run(
                line, cwd=tree, env=env, capture_output=True, timeout=RUN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return "(time is over)"
        if ended.returncode == 0:
            return None
        if failed.exists():
            return unquoted(failed.read_text(encoding="utf-8").splitlines()[0])
        return (
            f"(pytest ends with {ended.returncode}) {ended.stdout.decode(errors='replace')[-300:]}"
        )

    def flags(self, tree: Path) -> list[str]:
        """The whole of the tests, where a part is the default."""
        return (
            ["--all"]
            if '"--all"' in (tree / "tests/conftest.py").read_text(encoding="utf-8")
            else []
        )


def run(tree: Path, ran: Ran, drawn: list[Mutation], out: Path, jobs: int) -> None:
    here = of_tree(tree)
    results: list[dict[str, object]] = json.loads(out.read_text()) if out.exists() else []
    done = {result["name"] for result in results}
    with (
        tempfile.TemporaryDirectory(prefix="mutations-") as folder,
        ThreadPoolExecutor(jobs) as pool,
    ):
        benches: Queue[Bench] = Queue()
        for number in range(jobs):
            benches.put(Bench.make(tree, Path(folder) / str(number)))

        def one(mutation: Mutation) -> dict[str, object]:
            found, likeness = find_again(mutation, here)
            if found is None:
                return {"name": mutation.name, "outcome": "gone", "likeness": likeness}
            bench = benches.get()
            try:
                judged = bench.judge(found, ran.in_order(ran.tests(found)))
            finally:
                benches.put(bench)
            return {
                "name": mutation.name,
                **asdict(judged),
                "likeness": round(likeness, 2),
                "here": f"{found.file}:{found.line}",
                "change": f"{found.text.strip()} -> {found.mutated.strip()}",
            }

        for result in pool.map(one, [m for m in drawn if m.name not in done]):
            results.append(result)
            out.write_text(json.dumps(results, indent=1))
            print(result["outcome"], result["name"], result.get("by", ""), flush=True)
    caught = sum(result["outcome"] == "caught" for result in results)
    print(f"{caught} of {len(results)} caught")


def room_of(rooms: Mapping[str, str], file: str) -> str:
    """A file's folder below addon/; of a file that lies there itself, what `rooms` says."""
    parts = file.split("/")
    return rooms.get(file) or (parts[1] if len(parts) > 2 else "addon")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("cover", "draw", "run", "report"))
    parser.add_argument("data", type=Path)
    parser.add_argument("rest", nargs="*", help="run: the drawn mutations; cover: pytest arguments")
    parser.add_argument("--tree", type=Path, default=HERE.parents[1])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("mutations-result.json"))
    parser.add_argument(
        "--rooms", type=Path, help="JSON: the room of each file, where the folder doesn't say it"
    )
    told = parser.parse_intermixed_args()
    tree, data = told.tree.resolve(), told.data.resolve()
    match told.what:
        case "cover":
            cover(tree, data, told.rest)
        case "report":
            report(tree, data)
        case "draw":
            rooms = json.loads(told.rooms.read_text()) if told.rooms else {}
            ran = Ran.load(tree, data)
            drawn = draw(tree, told.count, told.seed, lambda file: room_of(rooms, file), ran.covers)
            print(json.dumps([asdict(m) for m in drawn], indent=1))
        case "run":
            drawn = [Mutation(**one) for one in json.loads(Path(told.rest[0]).read_text())]
            run(tree, Ran.load(tree, data), drawn, told.out.resolve(), told.jobs)


if __name__ == "__main__":
    main()
