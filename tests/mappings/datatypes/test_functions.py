"""The list of datatype functions: what each takes and leaves alone is what it really does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.fields import component_name
from mappings.tables import tables

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "hl7v2-datatypes.md"
DATE = "20240101"
# Every component that the datatype has, filled in with something that belongs there.
FULL = {
    "cx": f"1^2^M10^W&1.2.3&ISO^MR^FAC^{DATE}^{DATE}^J^A^S^N",
    "cx_merged": f"1^2^M10^W&1.2.3&ISO^MR^FAC^{DATE}^{DATE}^J^A^S^N",
    "ei": "1^W^1.2.3^ISO",
    "eip_placer": "1&W&1.2.3&ISO^2",
    "eip_filler": "1^2&W&1.2.3&ISO",
    "dln": f"1^TX^{DATE}",
    "pln": f"1^DEA^TX^{DATE}",
    "hd": "^1.2.3^ISO",
    "hd_name": "W^1.2.3^ISO",
    "xpn": f"F^G^S^Jr^Dr^MD^L^A^C^^G^{DATE}^{DATE}^RN^Bob",
    "xcn": f"7^F^G^S^Jr^Dr^MD^TBL^W&1.2.3&ISO^L^5^M10^NPI^FAC^A^C^^G^{DATE}^{DATE}^RN^J^A^S^N",
    "xon": "Name^L^^^M10^W&1.2.3&ISO^XX^FAC^A^77",
    "pl": "POC^ROOM^BED^FAC^O^N^BLD^FLR^Words^ID&W&1.2.3&ISO^W",
    "xad": f"1 Elm^Apt^City^ST^Z^US^H^G^County^Tract^A^^{DATE}^{DATE}^R^Y^N^U^Who^C^1^P^I",
    "xtn": f"^PRN^PH^^1^217^5550100^9^Words^PRE^9^^{DATE}^{DATE}^R^P^S^1",
    "cwe": "1^One^LN^2^Two^SCT^V1^V2^Original^3^Three^L^V3^^1.2^20240101^^1.2^20240101^^1.2^20240101",
    "cq": "1^mg",
    "nr": "1^2",
    "sn": "<^1",
    "dr": f"{DATE}^{DATE}",
    "mo": "1^USD",
    "cp": "1&USD^UP^1^2^min^F",
    "rpt": "BID^G^1^2^^^Y^AC^30^min",
    "tq": f"1^BID^^{DATE}^{DATE}^R^Cond^Text^C^OS^1^7",
    "ed": "SRC^Application^PDF^Base64^AAAA",
    "rp": "http://site.example/x^APP^Application^PDF",
    "language": "eng^English",
}


@pytest.mark.parametrize("name", FULL)
def test_a_function_leaves_alone_what_it_says_and_nothing_else(name: str, ask: Callable[..., Any]) -> None:
    answer = ask(name, FULL[name])
    assert answer.result is not None
    assert {int(place.split(".")[0]) for place in answer.unread} == set(FUNCTIONS[name].unmapped)


def test_every_function_has_a_name_of_its_own_and_says_what_it_does() -> None:
    for name, function in FUNCTIONS.items():
        assert function.name == name
        assert function.call.__doc__
        assert function.table in ("", "allowed", "required")
        assert function.takes


def test_components_that_are_left_alone_are_components_of_the_datatype() -> None:
    for function in FUNCTIONS.values():
        for number in function.unmapped:
            assert any(component_name(kind, number) for kind in function.takes), (function.name, number)


def test_the_page_names_every_function_and_every_table() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in FUNCTIONS if f"`{name}`" not in page] == []
    assert [name for name in tables() if f"`{name}`" not in page] == []
