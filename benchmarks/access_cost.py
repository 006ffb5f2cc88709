"""What the decision costs of a read: token, policy, predicate and audit, beside the same pipeline without them.

    python benchmarks/run.py --part access [--database sqlite|postgresql]

Two web servers on equal copies of the same charts take turns: the product, and one that `undecided` has taken
the decision out of. Each kind of token reads what it may see: of its panel's patients, of its own chart, or
anything. The share of a read is 1 - with/without, taken round by round from neighbours in time; its median
counts. Sealing the trail is left to a worker, which neither server has here.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from care_charts import CARE_CHARTS, PANEL
from data_sets import DATABASES
from processes import Baton
from wrk import load, write_script

from server.auth.tokens import Claims

BAR = 0.35
CLIENTS = 8
PATIENTS = 1_000
TOKENS = 50  # of a kind: so many people ask at the same time
HERE = Path(__file__).resolve().parent

# Kind of token -> (claims of the token of a number, Lua for the number of the patient that it reads).
KINDS: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "a nurse's, of a patient in her care": (
        lambda n: {"scope": "user/*.rs", "fhir_user": f"Practitioner/d{n}", "role": "rn"},
        f"number * {PANEL} + math.random(0, {PANEL - 1})",
    ),
    "an app's, of its patient": (
        lambda n: {"scope": "launch/patient patient/*.rs", "patient": f"p{n}"},
        "number",
    ),
    "an app's, of one category of its patient": (
        lambda n: {
            "scope": "patient/Patient.rs patient/Observation.rs?category=urn:oid:1.2.3.5|laboratory",
            "patient": f"p{n}",
        },
        "number",
    ),
    "a service's": (lambda n: {"scope": "system/*.rs"}, f"math.random(0, {PATIENTS - 1})"),
}
_REQUEST = """local number = math.random(0, {last})
  headers["Authorization"] = "Bearer " .. bodies[number + 1]
  local patient = {patient}
  return wrk.format("GET", "/fhir/Observation/o" .. patient .. "-" .. math.random(0, 19), headers)"""


class Undecided(Baton):
    """The web server without the decision, with the settings of a Baton."""

    def command(self, parts: Any) -> list[str]:
        return [sys.executable, str(HERE / "undecided.py")]


@dataclass(slots=True)
class Cost:
    """The rounds of one kind of token. with_it, without_it: answers a second of neighbouring rounds."""

    database: str
    kind: str
    with_it: list[float] = field(default_factory=list)
    without_it: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Which part of a read the decision is."""
        return statistics.median(
            1 - one / other for one, other in zip(self.with_it, self.without_it, strict=True)
        )


def measure(database: str, rounds: int, step: Callable[[str], None]) -> list[Cost]:
    """Every kind of token. Raises: LoadFailed for any answer that is no success."""
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        source = DATABASES[database](folder, CARE_CHARTS)
        sites: list[Baton] = []
        try:
            for kind, of in (("decided", Baton), ("undecided", Undecided)):
                url = source.open_one(PATIENTS * CARE_CHARTS.resources)
                sites.append(of(folder / kind, url, workers, ("web",)))
                sites[-1].wait_for("/healthz")
            found = []
            for number, (kind, (claims, patient)) in enumerate(KINDS.items()):
                scripts = _scripts(folder / f"{number}", sites, claims, patient)
                one = Cost(database, kind)
                for turn in range(-1, rounds):  # the first one warms up
                    step(f"{database} {kind}")
                    pair = [
                        load(script, site.port, seconds=1, clients=CLIENTS, seed=2 + turn).rate
                        for site, script in zip(sites, scripts, strict=True)
                    ]
                    if turn >= 0:
                        one.with_it.append(pair[0])
                        one.without_it.append(pair[1])
                found.append(one)
            return found
        finally:
            for site in sites:
                site.stop()
            source.close()


def steps(rounds: int) -> int:
    """How many times `measure` calls step."""
    return len(KINDS) * (rounds + 1)


def _scripts(
    folder: Path, sites: list[Baton], claims: Callable[[int], dict[str, Any]], patient: str
) -> list[Path]:
    """The same requests for each server, with tokens that the first one knows."""
    folder.mkdir()
    tokens = folder / "tokens"
    given = sites[0].tokens([Claims(client_id="benchmark", **claims(number)) for number in range(TOKENS)])
    tokens.write_text("\n".join(given) + "\n", "ascii")
    request = _REQUEST.format(last=TOKENS - 1, patient=patient)
    scripts = []
    for site in sites:
        script = folder / f"{site.port}.lua"
        write_script(script, request=request, token="", port=site.port, bodies=tokens)
        scripts.append(script)
    return scripts
