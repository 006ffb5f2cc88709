"""How fast a read is: our read by id against a bare Flask endpoint with one indexed storage read.

Both run under granian with the same workers on the same machine, loaded by `wrk` in turns, so that noise of
the machine meets both alike; the medians are compared. Ours does everything a read does: token, access
decision, conditional headers, audit row, metrics, log line, safe headers.

    python benchmarks/read_rate.py [--seconds 4] [--rounds 5] [--connections 16] [--port 18100]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = 0.5
RESOURCES = 10_000


def bare() -> Any:
    """A Flask application with one route that reads one row by its primary key (for granian)."""
    import sqlite3

    from flask import Flask, Response

    app = Flask("bare", static_folder=None)
    connection = sqlite3.connect(os.environ["BARE_DATABASE"], check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")

    @app.get("/fhir/Patient/<id>")
    def read(id: str) -> Response:
        row = connection.execute(
            "SELECT body FROM resource WHERE type = ? AND id = ?", ("Patient", id)
        ).fetchone()
        if row is None:
            return Response(status=404)
        return Response(row[0], content_type="application/fhir+json")

    return app


def patient(number: int) -> dict[str, Any]:
    """A synthetic Patient of about 800 bytes, the mean size of a resource in the synthetic charts."""
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"system": "urn:example:mrn", "value": f"MRN-{number:07d}"} for _ in range(3)],
        "name": [{"use": "official", "family": f"Family{number}", "given": ["Given", "Middle"]}],
        "telecom": [{"system": "phone", "value": "555-0100", "use": "home"}],
        "gender": "female",
        "birthDate": "1950-01-01",
        "address": [
            {
                "line": [f"{number} Main Street"],
                "city": "Springfield",
                "state": "MA",
                "postalCode": "01101",
                "country": "US",
            }
        ],
        "maritalStatus": {"text": "Married"},
        "communication": [{"language": {"text": "English"}}],
    }


def prepare(home: Path) -> tuple[str, Path]:
    """Fill both databases with the same bodies. Returns an access token and the bare database."""
    import sqlite3

    from server.app import make_context, now
    from server.auth.context import auth_context
    from server.auth.principal import Principal
    from server.auth.scopes import parse_scopes
    from server.auth.tokens import Claims, mint
    from server.fhir.visibility import EVERYTHING
    from server.interactions.perform import perform
    from server.interactions.request import InteractionRequest
    from server.settings import read_settings
    from server.storage import open_store

    settings = read_settings(os.environ)
    store = open_store(settings.database_url)
    store.upgrade()
    context = make_context(settings, store)
    writer = Principal(client_id="benchmark", scopes=parse_scopes("system/*.cruds"))
    for start in range(0, RESOURCES, 1000):
        entries = [
            {"resource": patient(number), "request": {"method": "PUT", "url": f"Patient/p{number}"}}
            for number in range(start, start + 1000)
        ]
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        perform(context, writer, InteractionRequest("transaction", body=body))
    bare_path = home / "bare.sqlite3"
    with sqlite3.connect(bare_path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE resource (type TEXT, id TEXT, body BLOB, PRIMARY KEY (type, id))")
        with store.reading() as reader:
            for number in range(RESOURCES):
                version = reader.read("Patient", f"p{number}", EVERYTHING)
                assert version is not None
                connection.execute("INSERT INTO resource VALUES ('Patient', ?, ?)", (version.id, version.body))
    authorization = auth_context(
        store.authorization,
        store,
        base_url=settings.base_url,
        home=settings.home,
        secret_key=settings.secret_key,
        clock=now,
    )
    claims = Claims(client_id="benchmark", scope="system/*.rs")
    token = mint(authorization, claims, timedelta(hours=1))
    store.close()
    return token, bare_path


def serve(target: str, port: int, workers: int, log: Path) -> subprocess.Popen[bytes]:
    """Start granian with a WSGI factory and wait until it answers."""
    command = [
        str(Path(sys.executable).with_name("granian")),
        *("--interface", "wsgi", "--factory", "--http", "1", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--blocking-threads", "1", "--log-level", "warning"),
        target,
    ]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/fhir/Patient/p1", timeout=1)
            return process
        except urllib.error.HTTPError:
            return process  # it answers, if only that a token is missing
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{target} does not answer; see {log}")


def rate(port: int, seconds: int, connections: int, script: Path) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds, by wrk."""
    command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    run = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True, timeout=120
    )
    if "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise SystemExit(run.stdout)
    requests = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s)", run.stdout)
    assert requests
    assert slowest
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[slowest[2]]
    return float(requests[1]), float(slowest[1]) * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--port", type=int, default=18100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(
            BATON_HOME=folder,
            BATON_SECRET_KEY="of no value: it lives for a minute",
            BATON_TIME_ZONE="America/New_York",
            BATON_PORT_WEB=str(options.port),
            BATON_LOG_LEVEL="INFO",
        )
        token, bare_path = prepare(home)
        os.environ["BARE_DATABASE"] = str(bare_path)
        script = home / "reads.lua"
        script.write_text(
            f'wrk.headers["Authorization"] = "Bearer {token}"\n'
            f'wrk.headers["Host"] = "127.0.0.1:{options.port}"\n'
            "request = function()\n"
            f'  return wrk.format("GET", "/fhir/Patient/p" .. math.random(0, {RESOURCES - 1}))\n'
            "end\n"
        )
        processes = []
        try:
            processes.append(serve("server.wsgi:web", options.port, options.workers, home / "ours.log"))
            processes.append(
                serve("benchmarks.read_rate:bare", options.port + 1, options.workers, home / "bare.log")
            )
            for port in (options.port, options.port + 1):
                rate(port, 1, options.connections, script)  # warm
            ours, limit = [], []
            for _ in range(options.rounds):
                limit.append(rate(options.port + 1, options.seconds, options.connections, script))
                ours.append(rate(options.port, options.seconds, options.connections, script))
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(15)
    report(ours, limit, options)


def report(
    ours: list[tuple[float, float]], limit: list[tuple[float, float]], options: argparse.Namespace
) -> None:
    """Print the medians, the spread and the ratio."""
    figures: dict[str, Any] = {}
    for name, rounds in (("bare", limit), ("read", ours)):
        rates = [rate for rate, _ in rounds]
        figures[name] = {
            "median": round(statistics.median(rates)),
            "lowest": round(min(rates)),
            "highest": round(max(rates)),
            "p99_ms": round(statistics.median(slowest for _, slowest in rounds), 2),
        }
    figures["ratio"] = round(figures["read"]["median"] / figures["bare"]["median"], 3)
    figures["target"] = TARGET
    if options.json:
        print(json.dumps(figures))
    else:
        for name in ("bare", "read"):
            row = figures[name]
            print(f"{name}: {row['median']} req/s ({row['lowest']}-{row['highest']}), p99 {row['p99_ms']} ms")
        print(f"ratio {figures['ratio']} (target {TARGET})")
    if figures["ratio"] < TARGET:
        sys.exit(1)


if __name__ == "__main__":
    main()
