"""Laws of every datatype function, whatever is sent (section 2.1): it never fails, it tells what it read and
what that became, its result is valid FHIR R4, and its findings are of the list.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mappings
from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.scope import Scope

FINDINGS = json.loads((Path(mappings.__file__).parent / "findings.json").read_text("utf-8"))
TABLES = ("0001", "0002", "0004", "0063", "0162", "0203", "0296", "nip001", "ucum")
# Contents that some function makes something of, and contents that none does.
CONTENTS = st.sampled_from(
    "1 1.50 -3 .5 5. 1e5 007 999 <5 >=1.0 3-5 1:128 20240229 202402300101 2024 202403100230 202411030130 "
    "20240301101530.12-0500 2024030110 0000 19800000 99999999 2024-05-01T10:00:00Z 20240101+00 1015 2560 "
    "Q6H BID Q2J135 PRN Q4H-PRN QOD D5 X3 M A U MR SS NPI ISO UUID DNS URI 1.2.840.1 2.16.840.1.113883.4.6 "
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8 http://a.example/x LN SCT HL70001 99LOC L UCUM mg/dL mg "
    "MG/DL min kg Y N PH CP Internet FX WPN H B BA PDF application/pdf Base64 Hex A AAAA QUJD en eng en-US "
    "x@y.example AC IC TM30 S <= <> - : / + . > = W1 Müller O'Neil ,, %41 a|b".replace("|", "\\F\\").split(" ")
) | st.text(max_size=8)


def _safe(content: str) -> str:
    """As a component: no separators of the message, and bytes that UTF-8 has."""
    cleaned = "".join(c for c in content if c not in "|^~&\\\r\n\x0b\x1c" or c == "\\")
    return cleaned.replace("\\", "\\E\\").encode("utf-8", "ignore").decode()


COMPONENT = st.one_of(
    st.just(""),
    st.just('""'),
    CONTENTS.map(_safe),
    st.lists(CONTENTS.map(_safe), max_size=5).map("&".join),
)
FIELD = st.lists(COMPONENT, min_size=1, max_size=23).map("^".join)
PLACES = (("ZZ1", 1), ("OBX", 5), ("RXE", 3), ("RXE", 23), ("RXA", 6), ("OBX", 7), ("SCH", 9))
KINDS = st.sampled_from(
    ("NM", "SN", "NR", "DR", "DT", "DTM", "TM", "CE", "ED", "RP", "NA", "CQ", "XCN", "TX", "X", "")
)
SOURCES = st.sampled_from(
    (
        Source("a"),
        Source("b c", "America/New_York", {"W1": "http://site.example/w1"}),
        Source("c", "Nowhere/None"),
    )
)


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, int]:
    """A segment with a field full of something, its neighbours too, and the number of the field."""
    name, number = draw(st.sampled_from(PLACES))
    around = [draw(COMPONENT) for _ in range(26)]
    if name == "OBX":
        around[1] = draw(KINDS)
    around[number - 1] = "~".join(draw(st.lists(FIELD, min_size=1, max_size=3)))
    return f"{name}|{'|'.join(around)}", number


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    field=fields(),
    source=SOURCES,
    header_time=st.sampled_from(("", "20260301120000-0500", "2026", "x")),
    table=st.sampled_from(TABLES),
)
def test_whatever_is_sent_the_answer_is_valid_and_accounted_for(
    field: tuple[str, int],
    source: Source,
    header_time: str,
    table: str,
    at_path: Callable[[Any, str], Any],
    faults: Callable[[str, Any], list[Any]],
) -> None:
    segment, number = field
    header = f"MSH|^~\\&|APP|SITE|||{header_time}||ADT^A01|1|P|2.5.1|||||||UNICODE UTF-8"
    message = parse(f"{header}\r{segment}\r".encode())
    filled = {(leaf.start, leaf.end) for part in message.segments for leaf in part.filled()}
    for repetition in message.segments[1].repetitions(number):
        for name, function in FUNCTIONS.items():
            scope = Scope(source, message)
            result = function(repetition, scope, table)
            account = scope.account
            for use in account.uses:
                assert (use.value.start, use.value.end) in filled, name
                assert not use.value.is_null, name
                spoken = account.intents[use.intent].resource if use.intent else result
                assert at_path(spoken, use.path) not in (None, ""), name
            assert {finding.code for finding in account.findings} <= set(FINDINGS), name
            assert result not in ("", {}, []), name
            if result is None:
                assert account.uses == [], name
                assert account.intents == {}, name
            assert faults(name, _Answer(result, account)) == [], name


class _Answer:
    def __init__(self, result: Any, account: Any) -> None:
        self.result, self.account = result, account
        self.intents = {key: intent.resource for key, intent in account.intents.items()}


def test_every_finding_has_words() -> None:
    for code, words in FINDINGS.items():
        assert code == code.lower()
        assert words
