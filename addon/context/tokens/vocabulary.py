"""cl100k token counts from the vocabulary that ships with the package; nothing is ever downloaded.

`tiktoken.get_encoding` is not used: it fetches the vocabulary with `requests.get` and no timeout, so behind a silent
network it hangs for ever, holding a process-wide lock.
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
    """About how many cl100k tokens `text` has (15 ms per 800 KB)."""
    data = text.encode("utf-8", "surrogatepass")
    total = _PER_WORD * len(text.split())
    for characters, weight in _PER_CLASS:
        total += weight * (len(data) - len(data.translate(None, characters)))
    return round(total)


log = logging.getLogger(__name__)

PACKED = Path(__file__).parent / "data" / "cl100k_base.bin.xz"
RAW_SHA256 = "6bfd43f7b31b50b645b3228413547e662af1ae4801e9b192b9791680a71d650c"

# cl100k_base's split pattern, written so that tiktoken is twice as fast with it: it splits in the same places. Its
# regular expressions run as a finite automaton where they can. Possessive quantifiers can't, and change nothing here;
# the group keeps all that can apart from the one lookahead, which can't.
_PATTERN = (
    r"(?:'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s+$|\s*[\r\n])|\s+(?!\S)|\s"
)

# tiktoken builds its list of tokens under the GIL (22 ms for a text of 800 KB, 4 ms in pieces of this size), and
# panics on a run of about a million spaces. Cutting at a line or word end changes the count by 0.02 %.
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
    """`text` in parts of at most PIECE_CHARS characters, cut behind a newline or before a space where there is one."""
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
    # A token starts with its space, so the cut goes in front of it; a cut at `start` would make no progress.
    space = text.rfind(" ", start + 1, end)
    return space if space >= 0 else end


class Vocabulary:
    """Counts texts; `start()` loads the vocabulary in a thread (0.15 s), `weigh` answers until it is there.

    Stays on the class weights for good, and logs why, when tiktoken or its data can't be loaded: it has no wheel for
    some platforms.
    """

    def __init__(self, packed: Path = PACKED) -> None:
        self._packed = packed
        self._encoding: tiktoken.Encoding | None = None
        self._settled = threading.Event()
        self.problem: str | None = None
        """Why the class weights are all there is, for `/health` and the doctor."""

    def start(self) -> None:
        """Load in the background; a daemon thread, so that it never keeps the process alive."""
        threading.Thread(target=self.load, name="vocabulary", daemon=True).start()

    def load(self) -> None:
        """Load now (blocks); the outcome is in `exact` and `problem`, nothing is raised for a missing part."""
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
        """Block until loading has ended, well or not; False when `seconds` passed first."""
        return self._settled.wait(seconds)

    @property
    def settled(self) -> bool:
        """Loading has ended: counts will not change their kind any more."""
        return self._settled.is_set()

    @property
    def exact(self) -> bool:
        """Counts come from the vocabulary, not from the class weights."""
        return self._encoding is not None

    def count(self, text: str) -> int:
        """cl100k tokens of `text`; safe to call from any thread."""
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
    return tiktoken.Encoding(
        name="cl100k_ccproxy", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
