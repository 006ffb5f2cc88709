"""The codes of findings and what each says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

FINDINGS: Mapping[str, str] = MappingProxyType(
    json.loads(Path(__file__).with_name("findings.json").read_text("utf-8"))
)
