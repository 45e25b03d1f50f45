"""Pack tiktoken's `cl100k_base.tiktoken` into the package: `python bench/pack_vocabulary.py cl100k_base.tiktoken`.

Prints the sha256 that `addon/context/tokens/vocabulary.py` pins. `--check` only verifies what is packed already.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import lzma
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from addon.context.tokens.vocabulary import PACKED, pack, unpack

SOURCE_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


def read_source(path: Path) -> list[bytes]:
    """The tokens of a `.tiktoken` file (`base64 rank` lines); raises ValueError on another file."""
    source = path.read_bytes()
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        raise ValueError(f"{path} is not the published cl100k_base.tiktoken")
    lines = [line.split() for line in source.splitlines()]
    if [int(rank) for _, rank in lines] != list(range(len(lines))):
        raise ValueError("ranks have gaps")
    return [base64.b64decode(token) for token, _ in lines]


def write_source(tokens: list[bytes]) -> bytes:
    lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    return b"".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="cl100k_base.tiktoken")
    parser.add_argument("--check", action="store_true", help="verify the packed file only")
    arguments = parser.parse_args()
    if not arguments.check:
        if arguments.source is None:
            parser.error("name the .tiktoken file, or --check")
        raw = pack(read_source(arguments.source))
        packed = lzma.compress(raw, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
        PACKED.parent.mkdir(exist_ok=True)
        PACKED.write_bytes(packed)
    raw = lzma.decompress(PACKED.read_bytes())
    same = hashlib.sha256(write_source(list(unpack(raw)))).hexdigest() == SOURCE_SHA256
    print(
        f"{PACKED.name}: {PACKED.stat().st_size} bytes, raw sha256 {hashlib.sha256(raw).hexdigest()}"
    )
    print("unpacks to the published file" if same else "DOES NOT unpack to the published file")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
