"""Load by wrk (github.com/wg/wrk): a Lua script a request shape, its report read back as JSON."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FRAME = """
local number = 0
function setup(thread)
  thread:set("thread_number", number)
  number = number + 1
end
local counter = 0
function init(args)
  math.randomseed(tonumber(args[1]) * 100 + thread_number)
  seed = args[1] .. "-" .. thread_number
  bodies = {}
  if %(bodies)q ~= "" then
    for line in io.lines(%(bodies)q) do bodies[#bodies + 1] = line end
  end
end
local headers = { ["Authorization"] = "Bearer %(token)s", ["Host"] = "127.0.0.1:%(port)d" }
local sent = { ["Authorization"] = "Bearer %(token)s", ["Host"] = "127.0.0.1:%(port)d",
               ["Content-Type"] = "application/fhir+json" }
function unique()
  counter = counter + 1
  return seed .. "-" .. counter
end
request = function()
  %(request)s
end
done = function(summary, latency, requests)
  local e = summary.errors
  local seconds = summary.duration / 1e6
  io.write(string.format('\\nREPORT {"requests":%%d,"seconds":%%.6f,', summary.requests, seconds))
  io.write(string.format('"p50_ms":%%.4f,"p95_ms":%%.4f,"p99_ms":%%.4f,',
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000))
  io.write(string.format('"errors":%%d,"status":%%d}\\n', e.connect + e.read + e.write + e.timeout, e.status))
end
"""


class LoadFailed(Exception):
    """Requests failed, so their rate says nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """One round. rate: answers a second. p50_ms, p95_ms, p99_ms: latency. client_cpu: cores that wrk used."""

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    client_cpu: float


def write_script(path: Path, *, request: str, token: str, port: int, bodies: Path | None = None) -> None:
    """A script. request: Lua that returns `wrk.format(...)`; it may use `headers`, `sent` (with a content
    type), `bodies` (the lines of the file) and `unique()`."""
    fields = {"request": request, "token": token, "port": port, "bodies": str(bodies or "")}
    path.write_text(_FRAME.replace("%(bodies)q", json.dumps(fields["bodies"])) % fields, "utf-8")


def load(script: Path, port: int, *, seconds: int, clients: int, seed: int) -> Load:
    """One round with this many connections.

    Raises: LoadFailed for any answer that is no success.
    """
    command = ["wrk", f"-t{min(2, clients)}", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s"]
    process = subprocess.Popen(
        [*command, "-s", str(script), f"http://127.0.0.1:{port}", "--", str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found = output.partition("REPORT ")[2]
    if not found:
        raise LoadFailed(output.strip())
    report = json.loads(found.splitlines()[0])
    if report["errors"] or report["status"]:
        raise LoadFailed(f"{script.name}: {report['errors']} errors, {report['status']} refusals\n{output}")
    return Load(
        rate=report["requests"] / report["seconds"],
        p50_ms=report["p50_ms"],
        p95_ms=report["p95_ms"],
        p99_ms=report["p99_ms"],
        client_cpu=(usage.ru_utime + usage.ru_stime) / report["seconds"],
    )
