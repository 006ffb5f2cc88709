"""Who visits some of the synthetic patients at home: the care team of another organization (pure).

It relates the demonstration's visiting nurse, whose role reaches related charts alone, to every third patient
who came from hospital; the others are there to be out of reach.
"""

from __future__ import annotations

import zlib
from typing import Any

_NURSE = "Practitioner/demo-visiting"
_TEST_DATA = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}


def home_health_team(patient_id: str) -> dict[str, Any] | None:
    """The CareTeam that visits a patient, None for those whom it does not."""
    if zlib.crc32(patient_id.encode()) % 3:
        return None
    return {
        "resourceType": "CareTeam",
        "id": f"home-health-{patient_id}",
        "meta": {"tag": [_TEST_DATA]},
        "status": "active",
        "name": "Home health (synthetic)",
        "subject": {"reference": f"Patient/{patient_id}"},
        "participant": [{"member": {"reference": _NURSE, "display": "Demo Visiting Nurse (synthetic)"}}],
    }
