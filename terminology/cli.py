"""`baton terminology`: build the file, load official releases into it, look things up."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from terminology import loading, store
from terminology.concepts import Concepts
from terminology.export import export_tier_a
from terminology.loaders.archive import Unreadable
from terminology.loaders.release import Options
from terminology.rxnorm import RxNorm, open_rxnorm
from terminology.systems import RXNORM

_ATC_CONDITIONS = (
    "ATC is copyright of the WHO Collaborating Centre for Drug Statistics Methodology, Oslo: use requires "
    "reference to the Centre; copying and distribution for commercial purposes are not allowed; the codes may "
    "not be changed, and the complete index may not be offered to others for download."
)


def terminology_directory() -> Path:
    """Where the built file lives: `$BATON_HOME/terminology`, BATON_HOME being ./var unless set."""
    return Path(os.environ.get("BATON_HOME") or "var") / "terminology"


@click.group()
def terminology() -> None:
    """Codes and drugs: build the vocabulary, load official releases, look things up."""


@terminology.command()
def build() -> None:
    """Build the vocabulary's one read-only file from the tables that ship and what was loaded."""
    path = store.build(terminology_directory(), progress=lambda words: click.echo(words, err=True))
    click.echo(str(path))


@terminology.command()
@click.argument("kind", type=click.Choice(list(loading.FORMATS)))
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--release", help="Its version, where neither the file nor its name tells it.")
@click.option("--accept-umls", is_flag=True, help="RxNorm: other vocabularies too; you hold a UMLS licence.")
@click.option("--include-atc", is_flag=True, help="RxNorm: ATC codes too, under the conditions printed.")
def load(kind: str, path: Path, release: str | None, accept_umls: bool, include_atc: bool) -> None:
    """Load an official release file of KIND from PATH.

    The release is read as a stream into a new file, which then takes the place of the current one in one
    step; processes that run keep the old one until they start again. The same release from the same file
    is loaded once. Exit 1 if PATH is not such a release.
    """
    if include_atc:
        click.echo(_ATC_CONDITIONS, err=True)
    with _bars() as steps:
        try:
            loaded = loading.load(
                terminology_directory(), kind, path, release, Options(accept_umls, include_atc), steps
            )
        except (Unreadable, OSError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(json.dumps(asdict(loaded), indent=2, default=str))


@contextmanager
def _bars() -> Iterator[loading.Steps]:
    """A progress bar a step, on standard error."""
    shown: list[Any] = []

    def begin(words: str, total: int) -> None:
        end()
        bar = click.progressbar(length=max(total, 1), label=words, file=sys.stderr)
        shown.append(bar.__enter__())

    def advance(count: int) -> None:
        if shown:
            shown[-1].update(count)

    def end() -> None:
        if shown:
            shown.pop().__exit__(None, None, None)

    try:
        yield loading.Steps(begin, advance)
    finally:
        end()


@terminology.command()
def prune() -> None:
    """Remove the files that nothing opens any more: those before the last build or load."""
    for path in loading.prune(terminology_directory()):
        click.echo(str(path))


@terminology.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def systems(as_json: bool) -> None:
    """List the code systems of the file with version, extent, licence and notice."""
    concepts = Concepts(store.open_store(terminology_directory()).path)
    found = concepts.systems()
    if as_json:
        click.echo(json.dumps([asdict(system) for system in found], indent=2))
        return
    for system in found:
        mark = "*" if system.is_default else " "
        click.echo(f"{mark} {system.url} {system.version}  {system.content}, {system.concepts} concepts")
        click.echo(f"    {system.licence}. {system.notice}".rstrip())


@terminology.command("export-tier-a")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def export(directory: Path) -> None:
    """Write the current RxNorm as the tables that ship into DIRECTORY, from a release loaded before.

    Load RxNorm_full_prescribe first; the tables are for terminology/data/rxnorm.
    """
    concepts = Concepts(store.open_store(terminology_directory()).path)
    info = concepts.system(RXNORM)
    if info is None or info.origin != "loaded":
        raise click.ClickException("load an official release first: baton terminology load rxnorm PATH")
    for path, rows in export_tier_a(concepts.path, directory):
        click.echo(f"{path} {rows}")


@terminology.command()
@click.argument("drug")
def lookup(drug: str) -> None:
    """Print what is known of DRUG: an RxCUI, an NDC or a written name. Exit 1 if nothing is."""
    rxnorm = open_rxnorm(terminology_directory())
    found = [_described(rxnorm, code) for code in _codes(rxnorm, drug)]
    click.echo(json.dumps({"version": rxnorm.version, "found": found}, indent=2, default=str))
    if not found:
        raise SystemExit(1)


def _codes(rxnorm: RxNorm, drug: str) -> list[str]:
    if rxnorm.concept(drug):
        return [drug]
    if product := rxnorm.by_ndc(drug):
        return [product.rxcui]
    match = rxnorm.by_name(drug)
    return [concept.rxcui for concept in match.concepts or match.ingredients] if match else []


def _described(rxnorm: RxNorm, code: str) -> object:
    drug = rxnorm.drug(code)
    concept = rxnorm.concept(code)
    if drug is not None:
        return asdict(drug)
    return {"concept": asdict(concept)} if concept else {}
