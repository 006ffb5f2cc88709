"""$everything, $lastn and $match."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from access_oracle.curious import Curious, Made, Request, paged, refused
from search_oracle.makers import IDS


def everything(curious: Curious) -> Made:
    """$everything of a patient: the record, and what it refers to and is nobody's chart."""
    sight = curious.sight
    patient = curious.random.choice(IDS)
    key = ("Patient", patient)

    def judge(reply: Any) -> str:
        if not sight.reaches("Patient"):
            return refused(reply, 403)
        if not sight.sees(key, "s"):
            return refused(reply, 404)
        if not sight.world.is_there(key):
            return refused(reply, 410)
        entries = paged(curious, reply)
        if isinstance(entries, str):
            return entries
        seen = {held.key: held for held in sight.seen("s")}
        record = {one for one, held in seen.items() if patient in held.patients()} | {key}
        named = set().union(*(seen[one].all_references() for one in record))
        outside = {one for one in named & seen.keys() if not seen[one].patients() - {patient}} - record
        got = [(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in entries]
        matches = {one for one, entry in zip(got, entries, strict=True) if entry["search"]["mode"] == "match"}
        if len(set(got)) != len(got):
            return "a resource twice"
        if matches != record:
            return f"record too much {matches - record}, missing {record - matches}"
        others = set(got) - matches
        return "" if others == outside else f"others too many {others - outside}, missing {outside - others}"

    return Request(f"Patient/{patient}/$everything?_count={curious.random.choice((2, 7, 100))}"), judge


def lastn(curious: Curious) -> Made:
    """$lastn with more than there are of any kind: every Observation of a patient that has a code."""
    sight = curious.sight
    patient = curious.random.choice(IDS)
    pairs = [("patient", f"Patient/{patient}"), ("code:missing", "false")]
    categories = [("category:missing", "false"), ("category:missing", "true")]
    asked = [*pairs, curious.random.choice(categories)]
    now = sight.world.clock.now

    def judge(reply: Any) -> str:
        if not sight.reaches("Observation"):
            return refused(reply, 403)
        if reply.status != 200:
            return f"status {reply.status}: {reply.body[:200]!r}"
        wanted = {
            held.key[1] for held in sight.world.oracle.matches("Observation", asked, sight.seen("s"), now)
        }
        got = {e["resource"]["id"] for e in reply.json.get("entry", ()) if e["search"]["mode"] == "match"}
        return "" if got == wanted else f"too many {got - wanted}, missing {wanted - got}"

    return Request(f"Observation/$lastn?max=1000&{urlencode(asked)}"), judge


def match(curious: Curious) -> Made:
    """$match with a patient's own words. Whom the rules find is theirs; that nobody hidden is among them is
    not."""
    sight = curious.sight
    patients = [held.resource for held in sight.world.oracle.everything() if held.key[0] == "Patient"]
    described = curious.random.choice(patients) if patients else {"resourceType": "Patient"}
    kept = {
        name: described[name]
        for name in ("name", "birthDate", "telecom", "identifier", "gender")
        if name in described
    }
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": {"resourceType": "Patient", **kept}}],
    }

    def judge(reply: Any) -> str:
        if not sight.reaches("Patient"):
            return refused(reply, 403)
        if reply.status != 200:
            return refused(reply, 400, 422)  # too little to look for anybody
        seen = {held.key[1] for held in sight.seen("s")}
        got = {
            entry["resource"]["id"]
            for entry in reply.json.get("entry", ())
            if entry["resource"]["resourceType"] == "Patient"
        }
        return "" if got <= seen else f"hidden patients {got - seen}"

    return Request("Patient/$match", body), judge
