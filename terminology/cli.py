"""`baton terminology`: build the store, look a drug up."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from terminology import store
from terminology.rxnorm import RxNorm, open_rxnorm


def terminology_directory() -> Path:
    """Where the built file lives: `$BATON_HOME/terminology`, BATON_HOME being ./var unless set."""
    return Path(os.environ.get("BATON_HOME") or "var") / "terminology"


@click.group()
def terminology() -> None:
    """Drug vocabulary: build it, look things up."""


@terminology.command()
def build() -> None:
    """Build the vocabulary's one read-only file from the tables that ship."""
    path = store.build(terminology_directory(), progress=lambda words: click.echo(words, err=True))
    click.echo(str(path))


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
