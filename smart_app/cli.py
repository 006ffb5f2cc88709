"""The app's `baton` subcommands that need no server."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import click


@click.group()
def reconcile() -> None:
    """Compare medication lists."""


@reconcile.command()
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
def explain(file: IO[bytes], as_json: bool) -> None:
    """Compare the Lists `before` and `after` of a collection Bundle in FILE (- for standard input).

    The Lists have this word as code.text, the Bundle has a timestamp: the date of evaluation.

    Exit status: 0 when the lists were compared, 2 when FILE is not such a Bundle.
    """
    from smart_app.reconciliation.explain import collect_lists, explained
    from smart_app.reconciliation.match import reconcile as compare_lists
    from terminology.rxnorm import open_rxnorm

    try:
        bundle = json.load(file, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise click.UsageError("The input is not JSON.") from None
    rxnorm = open_rxnorm(Path(os.environ.get("BATON_HOME") or "var") / "terminology")
    try:
        collected = collect_lists(bundle, rxnorm)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None
    except (AttributeError, TypeError):
        raise click.UsageError("The Bundle is not valid FHIR R4: an element has the wrong shape.") from None
    result = compare_lists(
        collected.before,
        collected.after,
        collected.evidence,
        rxnorm,
        allergies=collected.allergies,
        context=collected.context,
    )
    if as_json:
        click.echo(json.dumps(explained(result), indent=2, ensure_ascii=False))
    else:
        click.echo(_in_words(explained(result), result.not_checked))


def _in_words(result: dict[str, Any], not_checked: tuple[str, ...]) -> str:
    lines = []
    for group in result["groups"]:
        sides = [" + ".join(group[side]) or "nothing" for side in ("before", "after")]
        names = f" ({', '.join(group['differences'])})" if group["differences"] else ""
        lines += [f"{group['kind']}{names}: {sides[0]} -> {sides[1]}", f"    {group['reason']}"]
    for alert in result["alerts"]:
        references = ", ".join(alert["references"])
        lines.append(f"{alert['severity']} alert, {alert['kind']}: {references} [{alert['rule']}]")
        lines.append(f"    {alert['words']} Source: {alert['source']}.")
        lines += [f"    Also {words}" for words in alert["also"]]
    lines.append("Not checked: " + "; ".join(not_checked) + ".")
    versions = result["versions"]
    lines.append(
        f"Algorithm {versions['algorithm']}, terminology {versions['terminology']}, rules {versions['rules']}"
    )
    return "\n".join(lines)
