"""CDC's table of vaccine codes, the download of fields parted by bars.

Source: www2.cdc.gov/vaccines/iis/iisstandards/vaccines.asp?rpt=cvx (cvx.txt)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from terminology.loaders.archive import Archive, Unreadable
from terminology.loaders.release import Format, Options
from terminology.systems import CVX
from terminology.writing import ConceptRow, SystemRow, Writer

SYSTEM = SystemRow(CVX, "", "CVX", "complete", "Public domain (CDC)", kind="vaccine-status")


def write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    """Raises: Unreadable where no line is a vaccine."""
    number = writer.system(system)
    writer.concepts(number, _concepts(archive.lines(archive.need(".txt"))))
    writer.close(number)
    if not writer.count(number):
        raise Unreadable("no line has a CVX code")


def _concepts(lines: Iterable[str]) -> Iterator[ConceptRow]:
    for line in lines:
        cells = [cell.strip() for cell in line.lstrip("\ufeff").split("|")]
        if len(cells) >= 5 and cells[0].isdigit():
            code, short, full, note, status = cells[:5]
            yield ConceptRow(
                code.zfill(2),
                short,
                status,
                status != "Inactive",
                (("full-name", full),) if full != short else (),
                (("note", note, "string"),),
            )


FORMAT = Format(SYSTEM, lambda archive: archive.size([archive.need(".txt")]), write)
