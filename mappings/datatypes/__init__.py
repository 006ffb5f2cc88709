"""Every datatype of HL7 v2 that maps read, as functions into FHIR: `FUNCTIONS` by the name that maps use.

Sources: HL7 v2.9 chapter 2A; HL7 Version 2 to FHIR implementation guide (datatype maps); hl7.org/fhir/R4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mappings.datatypes import text, times
from mappings.datatypes.function import Function

_MOMENTS = "DTM TS DT"


def _function(
    name: str, call: object, result: str, takes: str, table: str = "", unmapped: str = ""
) -> Function:
    assert callable(call)
    return Function(
        name,
        call,
        result,
        frozenset(takes.split()),
        table,
        frozenset(int(number) for number in unmapped.split()),
    )


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.name: function
        for function in (
            # texts and switches
            _function("st", text.st, "string", "ST TX FT ID IS SI NM GTS"),
            _function("id", text.id_code, "code", "ID IS ST CWE CE CNE CF"),
            _function("uri", text.uri, "uri", "ST"),
            _function("yes_no", text.yes_no, "boolean", "ID IS CWE CNE CE ST"),
            # dates and times
            _function("dtm", times.dtm, "dateTime", _MOMENTS),
            _function("dtm_date", times.dtm_date, "date", _MOMENTS),
            _function("dtm_time", times.dtm_time, "dateTime", _MOMENTS),
            _function("dtm_instant", times.dtm_instant, "instant", _MOMENTS),
            _function("tm", times.tm, "time", "TM"),
            _function("dr", times.dr, "Period", "DR"),
        )
    }
)
