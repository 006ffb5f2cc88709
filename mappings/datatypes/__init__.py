"""Every datatype of HL7 v2 that maps read, as functions into FHIR: `FUNCTIONS` by the name that maps use.

Sources: HL7 v2.9 chapter 2A; HL7 Version 2 to FHIR implementation guide (datatype maps); hl7.org/fhir/R4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mappings.datatypes import (
    addresses,
    amounts,
    attachments,
    authorities,
    codes,
    contact_points,
    identifiers,
    names,
    numbers,
    observed,
    parties,
    schedule,
    text,
    times,
    timing,
)
from mappings.datatypes.administration_time import administration_time
from mappings.datatypes.ends import dtm_end
from mappings.datatypes.function import Function
from mappings.datatypes.procedure_time import procedure_time

_CODED = "CWE CE CNE CF ID IS ST"
_MOMENTS = "DTM TS DT"
_AFTER_CODES = "15 16 18 19 21 22"


def _function(
    name: str, call: Callable[..., Any], result: str, takes: str, table: str = "", unmapped: str = ""
) -> Function:
    numbers_of_components = frozenset(int(number) for number in unmapped.split())
    return Function(name, call, result, frozenset(takes.split()), table, numbers_of_components)


_ALL = (
    # texts
    _function("st", text.st, "string", "ST TX FT ID IS SI NM GTS CWE CE CNE CF"),
    _function("id", text.id_code, "code", _CODED),
    _function("uri", text.uri, "uri", "ST"),
    # codes
    _function("cwe", codes.cwe, "CodeableConcept", _CODED, "allowed", _AFTER_CODES),
    _function("cwe_coding", codes.cwe_coding, "Coding", _CODED, "allowed"),
    _function("cwe_text", codes.cwe_text, "string", _CODED),
    _function("code", codes.code, "code", _CODED, "required"),
    _function("priority", codes.priority, "code", _CODED),
    _function("language", codes.language, "CodeableConcept", _CODED),
    _function("yes_no", codes.yes_no, "boolean", _CODED),
    # identifiers
    _function("cx", identifiers.cx, "Identifier", "CX", unmapped="3 6 9 10 11 12"),
    _function("cx_merged", identifiers.cx_merged, "Identifier", "CX", unmapped="3 6 9 10 11 12"),
    _function("ei", identifiers.ei, "Identifier", "EI"),
    _function("ei_placer", identifiers.ei_placer, "Identifier", "EI"),
    _function("ei_filler", identifiers.ei_filler, "Identifier", "EI"),
    _function("ei_placer_group", identifiers.ei_placer_group, "Identifier", "EI"),
    _function("ei_filler_group", identifiers.ei_filler_group, "Identifier", "EI"),
    _function("ei_accession", identifiers.ei_accession, "Identifier", "EI"),
    _function("eip_placer", identifiers.eip_placer, "Identifier", "EIP", unmapped="2"),
    _function("eip_filler", identifiers.eip_filler, "Identifier", "EIP", unmapped="1"),
    _function("eip_placer_group", identifiers.eip_placer_group, "Identifier", "EIP", unmapped="2"),
    _function("eip_filler_group", identifiers.eip_filler_group, "Identifier", "EIP", unmapped="1"),
    _function("dln", identifiers.dln, "Identifier", "DLN"),
    _function("pln", identifiers.pln, "Identifier", "PLN", unmapped="3"),
    _function("hd", authorities.hd, "uri", "HD"),
    _function("hd_name", authorities.hd_name, "string", "HD", unmapped="2 3"),
    # people, organizations, places
    _function("xpn", names.xpn, "HumanName", "XPN PN", unmapped="8 9 15"),
    _function("xpn_called", names.xpn_called, "HumanName", "XPN"),
    _function("xcn", parties.xcn, "Reference(Practitioner)", "XCN CN", unmapped="8 12 14 15 16 22 23 24 25"),
    _function(
        "ndl", parties.ndl, "Reference(Practitioner)", "NDL XCN CNN CN", unmapped="2 3 4 5 6 7 8 9 10 11"
    ),
    _function("xcn_name", names.xcn_name, "HumanName", "XCN CN"),
    _function("xcn_identifier", parties.xcn_identifier, "Identifier", "XCN CN"),
    _function("xon", parties.xon, "Reference(Organization)", "XON", unmapped="2 5 8 9"),
    _function("xon_identifier", parties.xon_identifier, "Identifier", "XON"),
    _function("pl", parties.pl, "Reference(Location)", "PL", unmapped="5 6 11"),
    _function("la", parties.la, "Reference(Location)", "LA1 LA2", unmapped="5 6 9 10 11 12 13 14 15 16"),
    _function("xad", addresses.xad, "Address", "XAD AD SAD", unmapped="8 11 15 16 17 18 20 21 22 23"),
    _function("xtn", contact_points.xtn, "ContactPoint", "XTN TN", unmapped="9 10 11 15 16 17"),
    _function("xtn_home", contact_points.xtn_home, "ContactPoint", "XTN TN", unmapped="9 10 11 15 16 17"),
    _function("xtn_work", contact_points.xtn_work, "ContactPoint", "XTN TN", unmapped="9 10 11 15 16 17"),
    # dates and times
    _function("dtm", times.dtm, "dateTime", _MOMENTS),
    _function("dtm_date", times.dtm_date, "date", _MOMENTS),
    _function("dtm_time", times.dtm_time, "dateTime", _MOMENTS),
    _function("dtm_instant", times.dtm_instant, "instant", _MOMENTS),
    _function("dtm_end", dtm_end, "instant", _MOMENTS),
    _function("dtm_period", times.dtm_period, "Period", _MOMENTS),
    _function("tm", times.tm, "time", "TM"),
    _function("procedure_time", procedure_time, "performed[x]", _MOMENTS),
    _function("dr", times.dr, "Period", "DR"),
    # numbers
    _function("nm", numbers.nm, "decimal", "NM SI ST"),
    _function("nm_integer", numbers.nm_integer, "integer", "NM SI ST"),
    _function("nm_unsigned", numbers.nm_unsigned, "unsignedInt", "NM SI ST"),
    _function("nm_positive", numbers.nm_positive, "positiveInt", "NM SI ST"),
    _function("nr", numbers.nr, "Range", "NR"),
    _function("sn", numbers.sn, "value[x]", "SN"),
    _function("cq", numbers.cq, "Quantity", "CQ"),
    _function("cq_per_day", amounts.cq_per_day, "Ratio", "CQ"),
    _function("mo", numbers.mo, "Money", "MO"),
    _function("cp", numbers.cp, "Money", "CP", unmapped="2 3 4 5 6"),
    _function("unit", numbers.unit, "Quantity", _CODED),
    _function("amount", amounts.amount, "Quantity", "NM SI ST"),
    _function("dose", amounts.dose, "dose[x]", "NM ST"),
    _function("rate", amounts.rate, "rate[x]", "NM ST"),
    _function("duration", amounts.duration, "Duration", "CQ NM"),
    _function("time_span", amounts.time_span, "Quantity", "NM ST"),
    _function("minutes", amounts.minutes, "positiveInt", "CQ NM"),
    # timing
    _function("rpt", timing.rpt, "Timing", "RPT CWE CE ID IS ST", unmapped="2 3 4 7"),
    _function("rpt_as_needed", timing.rpt_as_needed, "boolean", "RPT CWE CE ID IS ST"),
    _function("tq", timing.tq, "Timing", "TQ", unmapped="1 6 7 9 10 11"),
    _function("tq_as_needed", timing.tq_as_needed, "boolean", "TQ"),
    _function("tq1", schedule.tq1, "Timing", "*"),
    _function("dosage_sequence", schedule.dosage_sequence, "integer", "*"),
    _function("administration_time", administration_time, "effective[x]", _MOMENTS),
    # content and results
    _function("ed", attachments.ed, "Attachment", "ED", unmapped="1"),
    _function("rp", attachments.rp, "Attachment", "RP", unmapped="2"),
    _function("na", observed.sampled, "SampledData", "NA MA"),
    _function("obx_value", observed.obx_value, "value[x]", "*"),
    _function("obx_range", observed.obx_range, "Observation.referenceRange", "ST"),
)
FUNCTIONS: Mapping[str, Function] = MappingProxyType({function.name: function for function in _ALL})
