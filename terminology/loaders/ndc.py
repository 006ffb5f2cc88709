"""FDA's National Drug Code Directory from its zip of text tables: products, and packages below them.

Source: fda.gov "National Drug Code Database File Definitions"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from terminology.loaders.archive import Archive
from terminology.loaders.release import Format, Options
from terminology.systems import NDC
from terminology.writing import IS_A, ConceptRow, EdgeRow, SystemRow, Writer

SYSTEM = SystemRow(NDC, "", "FDA National Drug Code Directory", "fragment", "Public domain (FDA)", kind="level")
_TOLD = {
    "DOSAGEFORMNAME": "form",
    "ROUTENAME": "route",
    "LABELERNAME": "labeler",
    "MARKETINGCATEGORYNAME": "marketing-category",
    "DEASCHEDULE": "dea-schedule",
    "PHARM_CLASSES": "pharm-classes",
}
# The tables come in the code page of the system that writes them.
_ENCODING = "cp1252"


def members(archive: Archive) -> list[str | None]:
    """Raises: Unreadable"""
    return [archive.need("product.txt"), archive.need("package.txt")]


def write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    """One day's directory."""
    products, packages = (str(name) for name in members(archive))
    number = writer.system(system)
    writer.concepts(number, (_product(row) for row in _rows(archive, products)))
    writer.concepts(
        number,
        (
            ConceptRow(row["NDCPACKAGECODE"], row.get("PACKAGEDESCRIPTION", ""), "package")
            for row in _rows(archive, packages)
            if row.get("NDCPACKAGECODE")
        ),
    )
    writer.edges(
        number,
        (
            EdgeRow(row["NDCPACKAGECODE"], IS_A, row["PRODUCTNDC"])
            for row in _rows(archive, packages)
            if row.get("NDCPACKAGECODE")
        ),
    )
    writer.close(number)


def _rows(archive: Archive, name: str) -> Iterator[dict[str, str]]:
    return archive.rows(name, delimiter="\t", encoding=_ENCODING, quoted=False)


def _product(row: Mapping[str, str]) -> ConceptRow:
    generic = row.get("NONPROPRIETARYNAME", "")
    name = row.get("PROPRIETARYNAME", "") or generic
    parts = (
        row.get(key, "").split(";")
        for key in ("SUBSTANCENAME", "ACTIVE_NUMERATOR_STRENGTH", "ACTIVE_INGRED_UNIT")
    )
    contents = "; ".join(" ".join(cell.strip() for cell in part) for part in zip(*parts, strict=False))
    return ConceptRow(
        row["PRODUCTNDC"],
        name,
        "product",
        not row.get("ENDMARKETINGDATE"),
        (("nonproprietary", generic),) if generic != name else (),
        (
            *((told, row.get(key, ""), "string") for key, told in _TOLD.items()),
            ("substances", contents, "string"),
        ),
    )


def _read(archive: Archive) -> int:
    products, packages = members(archive)
    return archive.size([products, packages, packages])


FORMAT = Format(SYSTEM, _read, write)
