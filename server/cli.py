"""The `baton` command: every top-level package brings its subcommands by entry point (`baton.commands`).

They are imported when called. This module holds the door (`main`) and the commands that run the deployment.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import math
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import click

from server.settings import Settings, SettingsError, read_settings

_LATE_SECONDS = 60.0  # until somebody should be told that a part does not answer


class _EntryPointGroup(click.Group):
    """A click group whose commands are the entry points of one group name.

    A file that cannot be read or written ends any of them with its name and the reason, and so does an argument
    that is no text.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if not error.filename:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":  # a terminal that cannot show what is printed
                raise
            raise click.ClickException("an argument is no text in UTF-8") from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(point.name for point in importlib.metadata.entry_points(group="baton.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in importlib.metadata.entry_points(group="baton.commands", name=cmd_name):
            command = point.load()
            if not isinstance(command, click.Command):
                raise click.ClickException(f"{point.value} is not a command")
            return command
        return None


@click.command(cls=_EntryPointGroup)
@click.version_option(package_name="baton-fhir", prog_name="baton")
def main() -> None:
    """Baton: FHIR R4 integration server and SMART app for care after a hospital stay.

    `baton serve --demo` starts everything on this machine with synthetic patients.
    Settings are environment variables (BATON_*); `baton doctor` says what is missing.
    """


def settings_or_exit(*, demo: bool = False) -> Settings:
    """The settings of this process; ends the command with status 1 and plain words where they do not stand."""
    try:
        return read_settings(os.environ, demo=demo)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


_SEVERAL = "worker"  # may run several times: its work is claimed. Others have a port or a file of their own.


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--demo", is_flag=True, help="Synthetic patients, demonstration logins, the demo EHR.")
@click.option("--no-data", is_flag=True, help="With --demo: start without loading the synthetic patients.")
@click.option("--prepared", is_flag=True, hidden=True, help="The caller has prepared the deployment.")
def serve(parts: tuple[str, ...], demo: bool, no_data: bool, prepared: bool) -> None:
    """Start PARTS of Baton (all that exist when none is named) and keep them running.

    Parts: web (FHIR API, sign-in, console), worker (what follows a commit), mllp (HL7 v2 messages), app (the
    SMART app), app-worker (finds discharges). With one name this process is the part, for containers and
    service managers. A worker that is named twice runs in two processes, which share the work.

    A new or older database is migrated first, a newer one is refused. One line says what is ready and where.
    Stop with Ctrl-C or SIGTERM: requests under way are finished, at most 5 seconds.
    """
    known = {point.name: point for point in importlib.metadata.entry_points(group="baton.parts")}
    for part in parts:
        if part not in known:
            raise click.BadParameter(f"no part {part!r}; there are: {', '.join(sorted(known))}")
        if parts.count(part) > 1 and part != _SEVERAL:
            raise click.BadParameter(f"{part} can run once here; {_SEVERAL} may be named several times")
    settings = settings_or_exit(demo=demo)
    if settings.demo:
        os.environ["BATON_DEMO"] = "1"  # the parts inherit it
    if not prepared:
        from server.deployment import DeploymentError, prepare

        try:
            prepare(settings)
        except DeploymentError as error:
            raise click.ClickException(str(error)) from None
    if len(parts) == 1:
        known[parts[0]].load()()
        return
    load_data = settings.demo and not no_data
    _require_free_ports(settings)
    sys.exit(_supervise(settings, parts or tuple(sorted(known)), load_data=load_data))


def _require_free_ports(settings: Settings) -> None:
    """End with plain words where somebody listens already, instead of restarting the parts for ever."""
    for name, host, port in (
        ("BATON_PORT_WEB", settings.host, settings.port_web),
        ("BATON_PORT_APP", settings.host, settings.port_app),
        ("BATON_PORT_MLLP", settings.host_mllp, settings.port_mllp),
        ("BATON_PORT_MLLPS", settings.host_mllp, settings.port_mllps),
    ):
        if not port:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise click.ClickException(
                    f"{host}:{port} cannot be listened on ({error.strerror}). Is Baton running?"
                    f" Stop it, or set {name}."
                ) from None


def _supervise(settings: Settings, parts: tuple[str, ...], *, load_data: bool) -> int:
    from server.supervisor import Supervisor, part_command

    say = lambda text: click.echo(text, err=True)  # noqa: E731
    supervisor = Supervisor(parts, lambda part: [*part_command(part), "--prepared"], say)
    supervisor.start()
    waiting = [part for part in ("web", "app", "mllp") if part in parts]
    late = time.monotonic() + _LATE_SECONDS
    loader: subprocess.Popen[bytes] | None = None
    announced = False

    def announce() -> None:
        """Say once that everything answers, and then load; until then the parts are watched all the same."""
        nonlocal announced, late, loader
        if announced:
            return
        while waiting and _is_healthy(settings, waiting[0]):
            waiting.pop(0)
        if waiting:
            if time.monotonic() > late:
                say(
                    f"{waiting[0]} does not answer yet; what it said stands above, `baton doctor` may know more"
                )
                late = math.inf
            return
        announced = True
        click.echo(_ready_line(settings, parts))
        if settings.demo:
            _print_logins(settings)
        if load_data and "web" in parts:
            loader = subprocess.Popen([sys.executable, "-m", "server.demo_data"])

    status = supervisor.wait(announce)
    if loader is not None and loader.poll() is None:
        loader.terminate()
        loader.wait()
    return status


def _is_healthy(settings: Settings, part: str) -> bool:
    if part == "mllp":
        return _listens(settings.host_mllp, settings.port_mllp or settings.port_mllps)
    ports = {"web": settings.port_web, "app": settings.port_app}
    scheme = "https" if settings.tls_cert else "http"
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104
    unverified = ssl.create_default_context()  # the certificate is of the public name, not of this address
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        url = f"{scheme}://{host}:{ports[part]}/healthz"
        with urllib.request.urlopen(url, timeout=2, context=unverified) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False


def _listens(host: str, port: int) -> bool:
    """Whether a port can be connected to; one that there is not is as good as ready."""
    try:
        if port:
            socket.create_connection(("127.0.0.1" if host in ("0.0.0.0", "") else host, port), 2).close()  # noqa: S104
        return True
    except OSError:
        return False


def _ready_line(settings: Settings, parts: tuple[str, ...]) -> str:
    words = {
        "web": f"web {settings.base_url} fhir {settings.fhir_base}",
        "app": f"app {settings.app_url}",
        "mllp": f"mllp {settings.host_mllp}:{settings.port_mllp or settings.port_mllps}",
    }
    return " ".join(["ready", *(words[part] for part in ("web", "app", "mllp") if part in parts)])


def _print_logins(settings: Settings) -> None:
    path = settings.home / "demo-logins.json"
    if not path.exists():
        return
    click.echo(
        f"demo EHR {settings.base_url}/ehr  console {settings.base_url}/console  synthetic patients only"
    )
    click.echo(f"  {'user name':<12} password")
    for login in json.loads(path.read_text("utf-8")):
        click.echo(f"  {login['username']:<12} {login['password']}")


@click.group()
def db() -> None:
    """The database: its schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this program's schema; nothing happens when it is there already."""
    from server.deployment import DeploymentError, migrate

    settings = settings_or_exit()
    try:
        click.echo(migrate(settings))
    except DeploymentError as error:
        raise click.ClickException(str(error)) from None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def doctor(as_json: bool) -> None:
    """Check configuration, database, clock, keys and disk, and say what to do about each finding."""
    from server.diagnosis import diagnose

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        findings = [{"check": "settings", "level": "error", "finding": str(error)}]
    else:
        findings = diagnose(settings)
    if as_json:
        click.echo(json.dumps({"findings": findings}, indent=2))
    else:
        for row in findings:
            click.echo(f"{row['level']:<8} {row['check']:<14} {row['finding']}")
    sys.exit(2 if any(row["level"] != "ok" for row in findings) else 0)


if __name__ == "__main__":
    main()
