"""Stores summaries on disk by what they replace, so that nobody pays twice for the same prefix.

Each summary is a JSON file, readable by its owner only. For people, the file also contains the messages that were
replaced; if the summary was merged with an earlier one (`previous`), only those that were added.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Self

from addon.core.files import read_json, sweep_orphans, write_json
from addon.core.frozen import frozen
from addon.core.lru import Lru
from addon.core.types import JsonObject

log = logging.getLogger(__name__)

VERSION = 1
MOST_FILES = 500
MOST_BYTES = 128 * 1024 * 1024
_IN_MEMORY = 200
_ID = re.compile(r"[0-9a-f]{32}")


@frozen(kw_only=True)
class Summary:
    """The summary of the messages from `start` up to, not including, `end` of a conversation."""

    id: str
    """Hex digest of the conversation up to `end`."""
    start: int
    end: int
    text: str
    pins: tuple[int, ...] = ()
    """Messages of the span that are kept verbatim beside it."""
    merges: int = 0
    """How many summaries were merged in sequence since the last one that was made from messages only."""
    complete: bool = True
    """False: it stopped at max_tokens, so the next summary is made from the messages."""
    used_at: int | None = None
    """How many messages the conversation had when this was first sent; None: not sent yet."""
    previous: str | None = None
    """Id of the summary that was merged into this one."""
    model: str = ""
    created: float = 0.0
    tokens_before: int = 0
    tokens_after: int = 0
    cost: float = 0.0
    """USD."""

    def __post_init__(self) -> None:
        numbers = (self.start, self.end, self.merges, self.tokens_after, self.used_at or 0)
        if not all(isinstance(number, int) for number in numbers) or not isinstance(self.text, str):
            raise TypeError("not a summary")
        if not (_ID.fullmatch(self.id) and 0 < self.start < self.end and self.text):
            raise ValueError("not a summary")

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        """Raises TypeError or ValueError for a value that `to_json` has not written."""
        known = {field.name: value[field.name] for field in fields(cls) if field.name in value}
        return cls(**{**known, "pins": tuple(int(pin) for pin in known.get("pins", ()))})

    def to_json(self) -> JsonObject:
        return asdict(self)


class SummaryMemory:
    """Summaries by the digest of the conversation up to their end.

    `directory`: the folder of the files (None: in memory only). If it can't be written, that is logged and summaries
    are kept in memory. Use from one event loop: a thread reads and writes the files in the order of the calls, also if
    the caller is cancelled. `close()` waits for it.
    """

    def __init__(self, directory: Path | None, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._known: Lru[str, Summary] = Lru(_IN_MEMORY)
        if directory is not None:
            sweep_orphans(directory / "*.json", clock())
        self._on_disk = {path.stem for path in self._files()}
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="summaries")

    async def for_prefixes(self, prefix_digests: Sequence[bytes]) -> list[Summary]:
        """The stored summaries of a conversation's prefixes, longest first."""
        if not self._on_disk and not len(self._known):
            return []
        idents = [digest.hex() for digest in reversed(prefix_digests)]
        unread = [
            ident for ident in self._on_disk.intersection(idents) if not self._known.get(ident)
        ]
        for ident in unread:
            await self._in_turn(self._load, ident)
        return [known for ident in idents if (known := self._known.get(ident))]

    async def put(self, summary: Summary, replaced: list[JsonObject]) -> None:
        """Store a summary, with the messages that it replaces."""
        self._known.put(summary.id, summary)
        await self._in_turn(self._save, summary, replaced)

    async def mark_used(self, summary: Summary, messages: int) -> None:
        """Store that it was sent for the first time, in a conversation of so many messages."""
        used = replace(summary, used_at=messages)
        self._known.put(used.id, used)
        await self._in_turn(self._save_again, used)

    async def show(self, ident: str) -> JsonObject | None:
        """All data of a summary, including the `replaced` messages; None if it is unknown."""
        known = self._known.get(ident)
        content = await self._in_turn(self._read, ident)
        if content:
            return {**content[0].to_json(), "replaced": content[1]}
        return {**known.to_json(), "replaced": None} if known else None

    def ids(self) -> list[str]:
        """Ids, newest first."""
        return [path.stem for path in reversed(self._files())]

    def close(self) -> None:
        """Wait until everything is written. Call nothing after it."""
        self._disk.shutdown()

    async def _in_turn[*Args, Result](
        self, work: Callable[[*Args], Result], *given: *Args
    ) -> Result:
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._disk, work, *given))

    # -- in the thread

    def _load(self, ident: str) -> None:
        if content := self._read(ident):
            self._known.put(ident, content[0])

    def _save(self, summary: Summary, replaced: list[JsonObject]) -> None:
        self._write(summary, [_viewable(message) for message in replaced])
        self._make_room()

    def _save_again(self, summary: Summary) -> None:
        if content := self._read(summary.id):
            self._write(summary, content[1])

    def _path(self, ident: str) -> Path | None:
        return self._directory / f"{ident}.json" if self._directory else None

    def _files(self) -> list[Path]:
        """Our files, oldest first; other files are ignored."""
        if self._directory is None:
            return []
        try:
            ours = [path for path in self._directory.glob("*.json") if _ID.fullmatch(path.stem)]
            return sorted(ours, key=lambda path: path.stat().st_mtime)
        except OSError:
            return []

    def _read(self, ident: str) -> tuple[Summary, list[Any]] | None:
        if ident not in self._on_disk or (path := self._path(ident)) is None:
            return None
        match read_json(path):
            case {"version": 1, "summary": dict(summary), "replaced": list(replaced)} if (
                summary.get("id") == ident
            ):
                with contextlib.suppress(TypeError, ValueError):
                    return Summary.from_json(summary), replaced
        self._quarantine(path)
        return None

    def _quarantine(self, path: Path) -> None:
        """Rename an unreadable file, which would otherwise be read for every request."""
        self._on_disk.discard(path.stem)
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".corrupt"))
            log.warning("Set aside %s: it is damaged, or a newer ccproxy wrote it.", path)

    def _write(self, summary: Summary, replaced: list[Any]) -> None:
        content = {"version": VERSION, "summary": summary.to_json(), "replaced": replaced}
        path = self._path(summary.id)
        if path and write_json(path, content):
            self._on_disk.add(summary.id)

    def _make_room(self) -> None:
        """Delete the oldest files while there are too many, or they are too large."""
        files = self._files()
        sizes = [_size(path) for path in files]
        total = sum(sizes)
        for count, (path, size) in enumerate(zip(files, sizes, strict=True)):
            if len(files) - count <= MOST_FILES and total <= MOST_BYTES:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            self._on_disk.discard(path.stem)
            total -= size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _viewable(value: Any) -> Any:
    """A copy without base64 data, which people can't read and which would fill the disk."""
    if isinstance(value, list):
        return [_viewable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "base64" and isinstance(value.get("data"), str):
        return {**value, "data": f"[{len(value['data'])} characters left out]"}
    return {key: _viewable(item) for key, item in value.items()}
