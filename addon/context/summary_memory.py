"""Remembers summaries by what they replace, on disk, so that the same prefix is never paid for twice.

One JSON file a summary, readable by its owner only. A file holds the messages that were replaced, too, for people to
look at; of a summary that was merged with an earlier one, those added since (`previous` names the earlier one).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from addon.core.files import read_json, write_json
from addon.core.lru import Lru
from addon.core.types import JsonObject

log = logging.getLogger(__name__)

VERSION = 1
MOST_FILES = 500
MOST_BYTES = 128 * 1024 * 1024
_IN_MEMORY = 200
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One remembered summary of the messages `start` up to `end` of a conversation."""

    id: str
    """Hex digest of the conversation up to `end`."""
    start: int
    end: int
    text: str
    pins: tuple[int, ...] = ()
    """Messages of the span that are kept word for word beside it."""
    merges: int = 0
    """How many times a summary was merged into the next since the last one made from the messages themselves."""
    complete: bool = True
    """False: cut short by max_tokens, so the next one is made from the messages themselves."""
    used_at: int | None = None
    """How many messages the conversation had when this was first sent; None: made ahead, and not sent yet."""
    previous: str | None = None
    """The summary that this one was merged from."""
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
        """Raises TypeError or ValueError for what `to_json` did not write."""
        known = {field.name: value[field.name] for field in fields(cls) if field.name in value}
        return cls(**{**known, "pins": tuple(int(pin) for pin in known.get("pins", ()))})

    def to_json(self) -> JsonObject:
        return asdict(self)


class SummaryMemory:
    """Summaries by the digest of the conversation up to their end.

    `directory`: where the files are (None: in memory only). A disk that refuses is logged, memory goes on. Use from one
    event loop: files are read and written in a thread, one after the other in the order of the calls, also when the
    caller is cancelled. `close()` waits for the last one.
    """

    def __init__(self, directory: Path | None, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._known: Lru[str, Summary] = Lru(_IN_MEMORY)
        self._on_disk = {path.stem for path in self._files()}
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="summaries")

    async def for_prefixes(self, names: Sequence[bytes]) -> list[Summary]:
        """The remembered summaries of a conversation's prefixes, longest first; `names[k]`: digest of k messages."""
        idents = [name.hex() for name in reversed(names)]
        unread = [
            ident for ident in self._on_disk.intersection(idents) if not self._known.get(ident)
        ]
        for ident in unread:
            await self._in_turn(self._load, ident)
        return [known for ident in idents if (known := self._known.get(ident))]

    async def put(self, summary: Summary, replaced: list[JsonObject]) -> None:
        """Remember it, with the messages to show for it."""
        self._known.put(summary.id, summary)
        await self._in_turn(self._save, summary, replaced)

    async def mark_used(self, summary: Summary, messages: int) -> None:
        """Note that it was sent for the first time, in a conversation of so many messages."""
        used = replace(summary, used_at=messages)
        self._known.put(used.id, used)
        await self._in_turn(self._save_again, used)

    async def show(self, ident: str) -> JsonObject | None:
        """All that is kept of one summary, `replaced` messages included; None when unknown."""
        known = self._known.get(ident)
        content = await self._in_turn(self._read, ident)
        if content:
            return {**content[0].to_json(), "replaced": content[1]}
        return {**known.to_json(), "replaced": None} if known else None

    def ids(self) -> list[str]:
        """Ids, newest first."""
        return [path.stem for path in reversed(self._files())]

    def close(self) -> None:
        """Wait until everything is written. Nothing may be asked after it."""
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
        """Our files, oldest first; a foreign file is left alone."""
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
        """Set a damaged file aside: it would be read on every request."""
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
        """Delete the oldest files while there are too many."""
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
    """A copy without base64 data, which nobody can read and which would fill the disk."""
    if isinstance(value, list):
        return [_viewable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "base64" and isinstance(value.get("data"), str):
        return {**value, "data": f"[{len(value['data'])} characters left out]"}
    return {key: _viewable(item) for key, item in value.items()}
