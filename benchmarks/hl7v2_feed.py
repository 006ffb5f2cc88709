"""Synthetic ADT messages: patients who are admitted, updated, transferred, updated and discharged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EVENTS = ("A01", "A08", "A02", "A08", "A03")  # of each patient, in this order
_STRUCTURES = {"A08": "ADT_A01"}
_START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def adt(patient: int, event: str, step: int) -> bytes:
    """A synthetic message of some 1.1 KB in ten segments."""
    at = (_START + timedelta(minutes=patient % 500 + 60 * step)).strftime("%Y%m%d%H%M%S+0000")
    ward = f"WARD{(patient + step // 2) % 8}"
    doctor = f"{1000 + patient % 20}^Doctor{patient % 20}^Synthetic^^^^^^NPI"
    visit = {
        1: "1", 2: "I", 3: f"{ward}^{patient % 30}^A^HOSP", 4: "E", 7: doctor, 10: "MED", 14: "7", 17: doctor,
        19: f"V{patient}^^^HOSP^VN", 44: _START.strftime("%Y%m%d%H%M%S+0000"),
    }  # fmt: skip
    if event == "A02":
        visit[6] = f"WARD{patient % 8}^{patient % 30}^A^HOSP"
    if event == "A03":
        visit |= {36: "01", 45: at}
    structure = _STRUCTURES.get(event, f"ADT_{event}")
    name = f"Synthetic{patient}^Ana^M^^Ms"
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|HOSP|BATON|SITE|{at}||ADT^{event}^{structure}|{patient}-{step}|P|2.5.1|||AL|NE",
            f"EVN|{event}|{at}||||{at}",
            f"PID|1||{patient}^^^HOSP^MR~{patient}9^^^STATE^PI||{name}||19{patient % 90 + 10:02}0102|F||2106-3|"
            f"{patient} Main St^Apt {step}^Springfield^IL^62701^USA^H||^PRN^PH^^1^217^{5550000 + patient}"
            f"||en|M|||{patient:09}",
            "PD1||||1999^Family^Doctor^^^^^^NPI",
            f"NK1|1|Synthetic{patient}^Bo|SPO|{patient} Main St^^Springfield^IL^62701|^PRN^PH^^1^217^5559999",
            "PV1|" + "|".join(visit.get(number, "") for number in range(1, 46)),
            "PV2||||||||20260301|20260308",
            f"OBX|1|NM|29463-7^Body weight^LN||{60 + patient % 40}|kg^kilogram^UCUM|||||F",
            "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives",
            "DG1|1||I10^Essential hypertension^I10C||20260301|A",
            "",
        )
    ).encode()
