"""Which tables a statement names: whoever keeps rows back writes them before somebody looks for them."""

from __future__ import annotations

import re
from functools import lru_cache

_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)")
_LIST = re.compile(r"\bFROM\s+\w+(?:\s+(?:AS\s+)?\w+)?\s*,")  # FROM a, b


@lru_cache(maxsize=4096)
def tables_of(sql: str) -> frozenset[str]:
    """The tables that a statement names; empty where that is not certain (and for COMMIT and SAVEPOINT)."""
    return frozenset() if _LIST.search(sql) else frozenset(_TABLE.findall(sql))
