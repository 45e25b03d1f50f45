"""Counts cl100k tokens with the vocabulary that is part of the package; nothing is downloaded.

`tiktoken.get_encoding` is not used, since it downloads the vocabulary without a timeout: if the network does not
respond, it blocks for ever, holding a process-wide lock.
"""

from __future__ import annotations

import hashlib
import logging
import lzma
import string
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken


_PER_CLASS: tuple[tuple[bytes, float], ...] = (
    (string.ascii_lowercase.encode(), 0.20),
    (string.ascii_uppercase.encode(), 0.60),
    (string.digits.encode(), 0.93),
    (b"\n", 1.41),
    (string.punctuation.encode(), 0.34),
    (bytes(range(0xC0, 0xE0)), 0.45),  # lead byte of a two-byte character
    (bytes(range(0xE0, 0xF0)), 0.97),
    (bytes(range(0xF0, 0xF8)), 3.2),
)
_PER_WORD = 0.13


def weigh(text: str) -> int:
    """An estimate of the cl100k tokens of `text` by weights of character classes (15 ms per 800 KB)."""
    data = text.encode("utf-8", "surrogatepass")
    total = _PER_WORD * len(text.split())
    for characters, weight in _PER_CLASS:
        total += weight * (len(data) - len(data.translate(None, characters)))
    return round(total)


log = logging.getLogger(__name__)

PACKED = Path(__file__).parent / "data" / "cl100k_base.bin.xz"
RAW_SHA256 = "6bfd43f7b31b50b645b3228413547e662af1ae4801e9b192b9791680a71d650c"

# cl100k_base's split pattern in a form with which tiktoken is twice as fast; it splits at the same places. Its regular
# expression engine uses a finite automaton where possible. That excludes possessive quantifiers, which change nothing
# here, and the lookahead, which is therefore outside of the group.
_PATTERN = (
    r"(?:'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s+$|\s*[\r\n])|\s+(?!\S)|\s"
)

# tiktoken builds its list of tokens while it holds the GIL (22 ms for a text of 800 KB, 4 ms in pieces of this size),
# and panics on about a million spaces in a row. To cut at the end of a line or word changes the count by 0.02 %.
PIECE_CHARS = 16_000


def pack(tokens: Iterable[bytes]) -> bytes:
    """Tokens in rank order as one length byte and the bytes of each."""
    return b"".join(bytes([len(token)]) + token for token in tokens)


def unpack(raw: bytes) -> Iterator[bytes]:
    """The tokens of `pack`, in rank order."""
    at = 0
    while at < len(raw):
        end = at + 1 + raw[at]
        yield raw[at + 1 : end]
        at = end


def pieces(text: str) -> Iterator[str]:
    """`text` in parts of at most PIECE_CHARS characters, cut after a newline or before a space if there is one."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = _cut(text, start, start + PIECE_CHARS)
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def _cut(text: str, start: int, end: int) -> int:
    newline = text.rfind("\n", start, end)
    if newline >= 0:
        return newline + 1
    # A token starts with its space, so the cut is before it; a cut at `start` would make no progress.
    space = text.rfind(" ", start + 1, end)
    return space if space >= 0 else end


class Vocabulary:
    """Counts texts. `start()` loads the vocabulary in a thread (0.15 s); until then, counts come from `weigh`.

    If tiktoken, which has no wheel for some platforms, or its data can't be loaded, that is logged, and all counts come
    from `weigh`.
    """

    def __init__(self, packed: Path = PACKED) -> None:
        self._packed = packed
        self._encoding: tiktoken.Encoding | None = None
        self._settled = threading.Event()
        self.begun = False
        """`start` was called."""
        self.problem: str | None = None
        """Why counts come from `weigh`, for `/health` and the doctor."""

    def start(self) -> None:
        """Load in a daemon thread, which does not keep the process from ending. Does nothing if that was begun."""
        if self.begun or self.settled:
            return
        self.begun = True
        threading.Thread(target=self.load, name="vocabulary", daemon=True).start()

    def load(self) -> None:
        """Load now (blocks). The result is in `exact` and `problem`; nothing is raised if something is missing."""
        try:
            self._encoding = _encoding(self._packed)
        except (ImportError, OSError, ValueError, lzma.LZMAError) as error:
            self.problem = (
                "Token counts are rough, by up to a quarter: the vocabulary can't be loaded "
                f"({type(error).__name__}: {error})."
            )
            log.warning(self.problem)
        finally:
            self._settled.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until loading has ended, successfully or not. Returns False if that takes longer than `seconds`."""
        return self._settled.wait(seconds)

    @property
    def settled(self) -> bool:
        """Loading has ended, successfully or not."""
        return self._settled.is_set()

    @property
    def exact(self) -> bool:
        """Counts come from the vocabulary, not from `weigh`."""
        return self._encoding is not None

    def count(self, text: str) -> int:
        """cl100k tokens of `text`. Thread-safe."""
        encoding = self._encoding
        if encoding is None:
            return weigh(text)
        return sum(_encode(encoding, piece) for piece in pieces(text))


def _encode(encoding: tiktoken.Encoding, piece: str) -> int:
    try:
        return len(encoding.encode_ordinary(piece))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - pyo3's PanicException (a bug inside tiktoken) is no Exception
        return weigh(piece)


def _encoding(packed: Path) -> tiktoken.Encoding:
    import tiktoken

    raw = lzma.decompress(packed.read_bytes())
    if hashlib.sha256(raw).hexdigest() != RAW_SHA256:
        raise ValueError(f"{packed.name} is damaged: its sha256 differs from the pinned one")
    ranks = {token: rank for rank, token in enumerate(unpack(raw))}
    encoding = tiktoken.Encoding(
        name="cl100k_ccproxy", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    # tiktoken has copied it; it keeps it only to be pickled. 10 MB.
    encoding._mergeable_ranks = {}
    return encoding
