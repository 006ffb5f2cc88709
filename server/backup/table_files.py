"""One file a table: gzip over blocks, each a big-endian 32-bit length and a MessagePack array of rows.

A row is an array in the order of the manifest's columns; values are int, float, str, bytes and nil. Written and
read in flat memory.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from server.backup.manifest import BackupError, private_file

Row = tuple[Any, ...]

BLOCK_BYTES = 1024 * 1024
BLOCK_ROWS = 5_000
_LENGTH = struct.Struct(">I")
_LEVEL = 1  # JSON shrinks to a fifth; more effort would take the processor from the server beside
_decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


def write_table(path: Path, rows: Iterable[Row], progress: Callable[[int], None]) -> int:
    """Write a table's file; how many rows. progress: is told how many rows a block has."""
    written = 0
    with private_file(path) as stream, gzip.GzipFile("", "wb", _LEVEL, stream, mtime=0) as packed:
        for block in _blocks(rows):
            content = msgspec.msgpack.encode(block)
            packed.write(_LENGTH.pack(len(content)) + content)
            written += len(block)
            progress(len(block))
    return written


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    size = 0
    for row in rows:
        block.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes | str))
        if size >= BLOCK_BYTES or len(block) >= BLOCK_ROWS:
            yield block
            block, size = [], 0
    if block:
        yield block


def read_table(path: Path) -> Iterator[list[Row]]:
    """The blocks of a table's file. Raises: BackupError where it is cut short or damaged."""
    try:
        with gzip.open(path, "rb") as packed:
            while head := packed.read(_LENGTH.size):
                (length,) = _LENGTH.unpack(head)
                yield _decoder.decode(packed.read(length))
    except (OSError, EOFError, zlib.error, struct.error, msgspec.DecodeError):
        raise BackupError(f"{path.name} is damaged: this backup cannot be used") from None
