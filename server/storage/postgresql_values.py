"""Python values as PostgreSQL takes them: whole numbers are bigint whatever their size, lists are arrays.

So a statement has one set of types, and is prepared once. Numbers of types are those of pg_type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

# Type (0: the server infers it), bytes, whether they are binary.
Dumped = tuple[int, bytes | None, int]

_BIGINTS, _TEXTS, _DOUBLES = 1016, 1009, 1022
ARRAYS = {_BIGINTS: "bigint[]", _TEXTS: "text[]", _DOUBLES: "double precision[]"}


def _text(value: str) -> bytes:
    # No stored text holds a NUL, and PostgreSQL takes none.
    return value.replace("\0", "\ufffd").encode()


_DUMPS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (20, struct.Struct(">q").pack),
    float: (701, struct.Struct(">d").pack),
    str: (25, _text),
    bytes: (17, bytes),
}


def dump(value: Any) -> Dumped:
    """A whole number, fraction, text, bytes, None, or a list of one of the first three with None among them.

    Raises: TypeError.
    """
    if value is None:
        return 0, None, 1
    if type(value) is list:
        return _array(value)
    known = _DUMPS.get(type(value))
    if known is None:  # of a derived type: a truth value, an enumeration
        known = next((found for kind, found in _DUMPS.items() if isinstance(value, kind)), None)
        if known is None:
            raise TypeError(f"PostgreSQL takes no {type(value).__name__}")
    return known[0], known[1](value), 1


def _array(values: Sequence[Any]) -> Dumped:
    first = values[0] if values else 0
    if first is None:
        first = next((value for value in values if value is not None), 0)
    if isinstance(first, str):
        return _TEXTS, _text("{" + ",".join(map(_quoted, values)) + "}"), 0
    kind = _DOUBLES if isinstance(first, float) else _BIGINTS
    return kind, ("{" + repr(values)[1:-1].replace("None", "NULL") + "}").encode(), 0


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
