"""`baton keys`: the key pairs of this deployment, and their rotation without interruption.

Other packages bring their keys by entry points of the group `baton.keys`: modules with `key_schedule(home)` and
`rotate_keys(home, now=, delay=, overlap=)`, whose answer says by which public keys the clients registered here
are to be known from now on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from server.auth.context import AuthContext, record
from server.auth.key_states import key_states
from server.auth.keys import SigningKeyError, SigningKeys, rotate
from server.command_context import command_context, command_settings
from server.settings import Settings

SIGNING = "signing"  # the authorization server's own
# The key set is kept by those who read it for 5 minutes (server/api/smart.py), so a new key waits longer.
SHORTEST_DELAY_MINUTES = 6
DELAY_MINUTES = 10
# An id token is good for 5 minutes; who verifies one later (a log, a slow clock) has a day.
OVERLAP_HOURS = 24

Row = dict[str, Any]


@click.group()
def keys() -> None:
    """The key pairs of this deployment: those that sign id tokens, and those the app proves itself with.

    A change takes effect in every process of a running server and app; none needs a restart.
    """


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(as_json: bool) -> None:
    """List all keys: which signs now, which is to come, which is only still published."""
    settings = command_settings()
    try:
        rows = list(_rows(settings, SigningKeys(settings.home, settings.secret_key, _now)))
    except SigningKeyError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({"keys": rows}, indent=2))
        return
    click.echo(f"{'of':<9}{'state':<10}{'signs from':<18}{'published until':<18}kid")
    for row in rows:
        click.echo(
            f"{row['of']:<9}{row['state']:<10}{_shown(row['signs_from']):<18}{_shown(row['published_until']):<18}"
            f"{row['kid']}"
        )


@keys.command("rotate")
@click.option("--only", metavar="NAME", help="Rotate these alone: signing, or app.")
@click.option(
    "--delay",
    type=click.IntRange(SHORTEST_DELAY_MINUTES, 60 * 24 * 30),
    default=DELAY_MINUTES,
    show_default=True,
    help="Minutes until the new keys sign: time for everybody to learn their public part.",
)
@click.option(
    "--overlap",
    type=click.IntRange(1, 24 * 365),
    default=OVERLAP_HOURS,
    show_default=True,
    help="Hours after that for which the old keys are still published and accepted.",
)
@click.option(
    "--at-once",
    is_flag=True,
    help="The old keys are known to others: the new ones sign now, the old ones are accepted no longer.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def rotate_command(only: str | None, delay: int, overlap: int, at_once: bool, as_json: bool) -> None:
    """Replace the keys by new ones, old and new being accepted side by side for a while.

    The new public keys are published at once and sign after --delay; the old ones are accepted for --overlap
    after that. The app's keys are renewed in its registrations at this server as well; another EHR that has
    them by value is to be given BATON_HOME/app-jwks.json before the delay ends.

    Exit status 2: some keys were not rotated, mostly because new ones are waiting to sign already.

    \b
    Examples:
      baton keys rotate
      baton keys rotate --only app --delay 10080     # a week to tell other EHRs
      baton keys rotate --at-once                    # a key has leaked
    """
    points = {point.name: point for point in entry_points(group="baton.keys")}
    if only is not None and only not in (SIGNING, *points):
        raise click.BadParameter(f"there are {', '.join((SIGNING, *sorted(points)))}", param_hint="--only")
    settings, context, now = command_settings(), command_context(), _now()
    window = timedelta(0) if at_once else timedelta(minutes=delay)
    after = timedelta(0) if at_once else timedelta(hours=overlap)
    refused = {}
    for name in [only] if only else [SIGNING, *sorted(points)]:
        try:
            if name == SIGNING:
                rotate(settings.home, settings.secret_key, now=now, delay=window, overlap=after)
                record(context, "keys-rotate", 200, principal="operator")
            else:
                _rotate_other(points[name], context, settings, now, window, after)
        except (SigningKeyError, ValueError) as error:
            refused[name] = str(error)
    rows = list(_rows(settings, SigningKeys(settings.home, settings.secret_key, _now)))
    if as_json:
        click.echo(json.dumps({"keys": rows, "refused": refused}, indent=2))
    else:
        for row in rows:
            click.echo(f"{row['of']:<9}{row['state']:<10}{row['kid']}")
        for name, reason in refused.items():
            click.echo(f"not rotated: {name}: {reason}", err=True)
    if refused:
        sys.exit(2)


def _rotate_other(
    point: EntryPoint,
    context: AuthContext,
    settings: Settings,
    now: datetime,
    delay: timedelta,
    overlap: timedelta,
) -> None:
    """Rotate the keys of another package, and let its clients here be known by the new ones too."""
    answer: Mapping[str, Any] = point.load().rotate_keys(settings.home, now=now, delay=delay, overlap=overlap)
    replaced = set(answer["replaces"])
    with context.rows.transaction():
        for row in context.rows.clients():
            registered = row.jwks.get("keys", ())
            if not row.jwks_uri and replaced.intersection(key.get("kid") for key in registered):
                others = [key for key in registered if key.get("kid") not in replaced]
                context.rows.put_client(replace(row, jwks={"keys": [*others, *answer["jwks"]["keys"]]}))
                record(context, "client-keys-rotate", 200, principal="operator", client_id=row.client_id)


def _now() -> datetime:
    return datetime.now(UTC)


def _rows(settings: Settings, signing: SigningKeys) -> Iterator[Row]:
    """Every key as the commands show it."""
    now = _now()
    for own in key_states(signing, now):
        yield _row(SIGNING, own.state, own.kid, own.signs_from, own.published_until)
    for point in sorted(entry_points(group="baton.keys"), key=lambda point: point.name):
        schedule = point.load().key_schedule(settings.home)
        for key in schedule:
            begins, ends = key["signs_from"], key["published_until"]
            alike = [other for other in schedule if other["algorithm"] == key["algorithm"]]
            begun = [other for other in alike if other["signs_from"] is None or other["signs_from"] <= now]
            if ends is not None and ends <= now:
                state = "retired"
            elif begins is not None and begins > now:
                state = "coming"
            else:
                state = "signs" if begun and key is begun[-1] else "accepted"
            yield _row(point.name, state, key["kid"], begins, ends)


def _row(of: str, state: str, kid: str, begins: datetime | None, ends: datetime | None) -> Row:
    def told(moment: datetime | None) -> str | None:
        return moment.isoformat(timespec="seconds") if moment else None

    return {"of": of, "state": state, "kid": kid, "signs_from": told(begins), "published_until": told(ends)}


def _shown(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "-"
