"""docs/reference/lifecycles.md says what the machines say."""

from __future__ import annotations

import runpy
from pathlib import Path

from server.policy.lifecycle import machines

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_of_lifecycles_is_current() -> None:
    text = (DOCS / "reference" / "lifecycles.md").read_text("utf-8")
    generator = runpy.run_path(str(DOCS / "generate_lifecycles.py"))
    assert text == generator["page"](text, machines()), "run `make generate`"
    for group in machines().values():
        for machine in group:
            assert f"`{machine.id}`, version {machine.version}" in text
