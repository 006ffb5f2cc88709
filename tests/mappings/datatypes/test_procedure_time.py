"""PR1-5 with the minutes of PR1-7 (v2-to-FHIR, PR1[Procedure])."""

from __future__ import annotations

import pytest

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.scope import Scope


@pytest.mark.requirement("2.5")
@pytest.mark.parametrize(
    ("time", "minutes", "made"),
    [
        (
            "20260216080000-0600",
            "95",
            {"performedPeriod": {"start": "2026-02-16T08:00:00-06:00", "end": "2026-02-16T09:35:00-06:00"}},
        ),
        ("20260216080000-0600", "", {"performedDateTime": "2026-02-16T08:00:00-06:00"}),
        ("20260216080000-0600", "0", {"performedDateTime": "2026-02-16T08:00:00-06:00"}),
        ("20260216080000-0600", "long", {"performedDateTime": "2026-02-16T08:00:00-06:00"}),
        ("20260216080000-0600", "99999999999999999999", {"performedDateTime": "2026-02-16T08:00:00-06:00"}),
        ("20260216", "95", {"performedDateTime": "2026-02-16"}),
        ("99991231235900-0600", "95", {"performedDateTime": "9999-12-31T23:59:00-06:00"}),
        ("nonsense", "95", None),
    ],
)
def test_a_start_with_minutes_is_a_period(time, minutes, made) -> None:
    message = parse(f"MSH|^~\\&|A|B|||||ADT^A01|1|P|2.5.1\rPR1|1||X||{time}||{minutes}".encode())
    scope = Scope(Source("s"), message)
    (value,) = message.segments[1].repetitions(5)
    assert FUNCTIONS["procedure_time"](value, scope) == made
    paths = {use.path for use in scope.account.uses}
    assert paths == set() if made is None else all(path.partition(".")[0] in made for path in paths)
