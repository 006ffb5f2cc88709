"""What RxNorm says about each drug, as the reconciliation asks for it: written from the default release."""

from __future__ import annotations

import json
import sqlite3

from terminology.names import fold
from terminology.release import DrugRow, Release
from terminology.systems import RXNORM


def write_drugs(database: sqlite3.Connection) -> None:
    """Drugs, products by ingredients and names by spelling, in place of those of another release."""
    for table in ("drug", "product", "name"):
        database.execute(f"delete from {table}")
    (system,) = database.execute(
        "select id from code_system where url = ? and is_default", (RXNORM,)
    ).fetchone()
    release = Release(database, system)
    database.executemany(
        "insert or ignore into name values (?, ?)",
        sorted((fold(name), code) for code, (_, name) in release.concepts.items()),
    )
    drugs = sorted(release.drugs(), key=lambda drug: drug.rxcui)
    database.executemany("insert into drug values (?, ?)", ((drug.rxcui, _body(drug)) for drug in drugs))
    database.executemany(
        "insert into product values (?, ?)",
        sorted((d.ingredient_key, d.rxcui) for d in drugs if d.precision == "product" and d.ingredient_key),
    )


def _body(drug: DrugRow) -> str:
    fields = (drug.precision, drug.components, drug.product, drug.brand, drug.form, drug.release)
    return json.dumps([*fields, drug.route, drug.package, drug.inferred], separators=(",", ":"))
