"""`baton load`: put files of FHIR resources into a server."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from server.deployment import DeploymentError, migrate
from server.load_versions import naming_versions
from server.loading import Send, StoreAway, Summary, Unit, find_files, load_unit, units_of
from server.settings import Settings, SettingsError, read_settings

_SHOWN = 20  # refusals printed where no --errors file takes them


@click.command("load")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--url", help="FHIR base URL of the server to send to; without it, this deployment's own store.")
@click.option("--token", envvar="LOAD_TOKEN", help="Access token for --url (or in the variable LOAD_TOKEN).")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many send at once."
)
@click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="File for refusals, as NDJSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def load(
    paths: tuple[Path, ...],
    url: str | None,
    token: str | None,
    workers: int,
    errors: Path | None,
    as_json: bool,
) -> None:
    """Load FHIR resources from PATHS: Bundles, NDJSON, single resources, also gzipped, and folders of them.

    A resource that carries an id is stored under it, so loading again changes nothing: identical content makes
    no new version. A transaction Bundle is stored wholly or not at all; elsewhere a bad resource does not keep
    back its neighbours. Exit status 2: something was refused. A full disk or a database that is away ends the
    command with status 1; the same command goes on later.

    \b
    Examples:
      baton load patients/ --errors refused.ndjson
      baton load export.ndjson.gz --url http://127.0.0.1:8000/fhir --token "$TOKEN" --workers 4
    """
    if token and not url:
        raise click.UsageError("--token goes with --url")
    files = find_files(paths)
    if not files:
        raise click.ClickException("there is no .json or .ndjson file (plain or .gz) in what was named")
    try:
        settings = None if url else read_settings(os.environ)
        if settings:
            migrate(settings)
    except (SettingsError, DeploymentError) as error:
        raise click.ClickException(str(error)) from None
    started = time.monotonic()
    total, refusals = Summary(), []
    size = sum(file.stat().st_size for file in files)
    units = (unit for file in files for unit in units_of(file))
    stopped = ""
    with click.progressbar(length=size, label="Loading", file=sys.stderr) as bar:
        try:
            for weight, summary, refused in _results(units, settings, url, token, workers):
                total.add(summary)
                refusals += refused
                bar.update(weight)
        except StoreAway as away:
            total.add(away.summary)
            refusals += away.refusals
            stopped = str(away)
    total.seconds = time.monotonic() - started
    _report(total, refusals, errors, as_json)
    if stopped:
        loaded = total.created + total.updated + total.unchanged
        raise click.ClickException(
            f"stopped after {loaded} resources: {stopped.removesuffix('.')}. Run the same command again when"
            " that is mended: what is there already stays as it is."
        )
    if total.refused:
        sys.exit(2)


Result = tuple[int, Summary, list[dict[str, Any]]]


def _results(
    units: Iterable[Unit], settings: Settings | None, url: str | None, token: str | None, workers: int
) -> Iterator[Result]:
    """Send units, several at once where asked; transactions need no order among each other."""
    if workers == 1:
        send = own_store(settings) if settings else remote(url or "", token)
        for unit in units:
            yield _load(unit, send)
        return
    executor: Executor
    if settings:
        executor = ProcessPoolExecutor(workers, initializer=_open_in_worker, initargs=(settings,))
        work: Callable[[Unit], Result] = _load_in_worker
    else:
        executor = ThreadPoolExecutor(workers)
        send = remote(url or "", token)

        def work(unit: Unit) -> Result:
            return _load(unit, send)

    with executor:
        # Only a few units wait at a time: a folder may be larger than memory.
        waiting: list[Future[Result]] = []
        try:
            for unit in units:
                waiting.append(executor.submit(work, unit))
                if len(waiting) >= 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        except StoreAway:
            for future in [future for future in waiting if not future.cancel()]:
                try:
                    yield future.result()
                except StoreAway as away:
                    yield 0, away.summary, away.refusals
            raise


def _load(unit: Unit, send: Send) -> Result:
    return (unit.weight, *load_unit(unit, send))


_worker_send: list[Send] = []


def _open_in_worker(settings: Settings) -> None:
    _worker_send.append(own_store(settings))


def _load_in_worker(unit: Unit) -> Result:
    return _load(unit, _worker_send[0])


def own_store(settings: Settings) -> Send:
    """Send through the server's own door in this process, whether or not a server runs."""
    from server.app import make_context
    from server.auth.principal import Principal
    from server.auth.scopes import parse_scopes
    from server.errors import FhirError
    from server.fhir.json_codec import decode
    from server.interactions.perform import perform
    from server.interactions.request import InteractionRequest
    from server.storage import open_store

    context = make_context(settings, open_store(settings.database_url))
    # What is loaded by the operator of the host is limited by the host alone.
    context = replace(context, limits=replace(context.limits, bundle_entries=sys.maxsize), blind_writes=True)
    loader = Principal(client_id="baton-load", scopes=parse_scopes("system/*.cruds"))

    def send(bundle: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            response = perform(context, loader, InteractionRequest(bundle["type"], body=bundle))
        except FhirError as error:
            return error.status, error.outcome()
        return response.status, decode(response.body)

    return send


def remote(url: str, token: str | None) -> Send:
    """Send to a FHIR server over HTTP."""
    import requests

    from server.errors import FhirError, Issue, operation_outcome
    from server.fhir.json_codec import decode, encode

    session = requests.Session()
    session.headers.update({"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"})
    if token:
        session.headers["Authorization"] = f"Bearer {token}"

    def send(bundle: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            answer = session.post(url.rstrip("/"), data=encode(bundle), timeout=300)
            return answer.status_code, decode(answer.content)
        except requests.RequestException as error:
            raise StoreAway(f"the server does not answer: {type(error).__name__}", Summary(), []) from None
        except FhirError:
            said = Issue("processing", f"the server answered {answer.status_code} without FHIR JSON")
            return answer.status_code, operation_outcome([said])

    return naming_versions(send)


def _report(total: Summary, refusals: list[dict[str, Any]], errors: Path | None, as_json: bool) -> None:
    from server.fhir.json_codec import encode

    if errors is not None:
        errors.write_bytes(b"".join(encode(refusal) + b"\n" for refusal in refusals))
    else:
        for refusal in refusals[:_SHOWN]:
            for issue in refusal["issue"]:
                place = "".join(f" ({at})" for at in issue.get("expression", ()))
                click.echo(f"refused: {issue['diagnostics']}{place}", err=True)
        if len(refusals) > _SHOWN:
            click.echo(f"and {len(refusals) - _SHOWN} more; --errors FILE keeps them all", err=True)
    if as_json:
        click.echo(json.dumps(total.as_json()))
    else:
        counts = total.as_json()
        seconds = counts.pop("seconds")
        click.echo(" · ".join(f"{name} {number}" for name, number in counts.items()) + f" · {seconds} s")
