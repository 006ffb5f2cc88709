"""A release of RxNorm's official size in bounded memory, while readers go on.

Rows are synthetic, in the true layout: 1.5 million relations, 300 thousand names, 1.2 million attributes.
"""

import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from terminology import loading
from terminology.concepts import Concepts
from terminology.rxnorm import RxNorm
from terminology.store import Store, open_store
from terminology.systems import RXNORM

pytestmark = pytest.mark.long
DRUGS = 100_000
RELATIONS = 1_500_000
ATTRIBUTES = 1_200_000
LIMIT_MIB = 512
LOAD = """
import re, sys
from pathlib import Path
from terminology import loading
loaded = loading.load(Path(sys.argv[1]), "rxnorm", Path(sys.argv[2]))
# ru_maxrss would have the memory of the parent in it.
most = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(loaded.path.name, int(most[1]) // 1024)
"""


@pytest.fixture(scope="module")
def official(rrf: type, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, written as a stream."""
    path = tmp_path_factory.mktemp("release") / "RxNorm_full_11022026.zip"
    ingredients = DRUGS // 20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("rrf/RXNCONSO.RRF", "w") as file:
            for n in range(ingredients):
                file.write(rrf.name(str(n), "IN", f"ingredient{n}").encode() + b"\n")
            for n in range(DRUGS):
                ingredient, strength = f"ingredient{n % ingredients}", n // ingredients + 1
                name = f"{ingredient} {strength} MG"
                rows = (
                    rrf.name(f"1{n:06}", "SCDC", name),
                    rrf.name(f"2{n:06}", "SCD", f"{name} Oral Tablet"),
                    rrf.name(f"2{n:06}", "PSN", f"{name} tablet to swallow"),
                )
                file.write("\n".join(rows).encode() + b"\n")
        with archive.open("rrf/RXNREL.RRF", "w") as file:
            for n in range(RELATIONS):
                drug = n % DRUGS
                match n // DRUGS % 5:
                    case 0:
                        row = rrf.relation(str(drug % ingredients), "has_ingredient", f"1{drug:06}")
                    case 1:
                        row = rrf.relation(f"1{drug:06}", "ingredient_of", str(drug % ingredients))
                    case 2:
                        row = rrf.relation(f"1{drug:06}", "consists_of", f"2{drug:06}")
                    case 3:
                        row = rrf.relation(f"2{drug:06}", "constitutes", f"1{drug:06}")
                    case _:
                        row = rrf.relation(f"2{(drug * 7 + n) % DRUGS:06}", "reformulation_of", f"2{drug:06}")
                file.write(row.encode() + b"\n")
        with archive.open("rrf/RXNSAT.RRF", "w") as file:
            for n in range(ATTRIBUTES):
                drug = f"2{n % DRUGS:06}"
                told = ("NDC", f"{n:011}") if n % 3 == 0 else ("RXN_STRENGTH", f"{n} MG")
                file.write(rrf.attribute(drug, *told).encode() + b"\n")
    return path


def test_a_release_of_official_size_loads_in_bounded_memory_while_readers_go_on(
    built: Path, official: Path, tmp_path: Path
) -> None:
    (tmp_path / built.name).hardlink_to(built)
    readers, asked, wrong, done = RxNorm(open_store(tmp_path)), [0], list[str](), threading.Event()

    def read() -> None:
        while not done.is_set():
            drug = readers._drug("314076")
            asked[0] += 1
            if drug is None or drug.concept.name != "lisinopril 10 MG Oral Tablet":
                wrong.append(str(drug))
            time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), str(official)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(loading.__file__).parents[1])},
    )
    done.set()
    reader.join()
    assert ran.returncode == 0, ran.stderr[-2000:]
    name, mebibytes = ran.stdout.split()
    print(f"{mebibytes} MiB, {time.monotonic() - began:.0f} s, {asked[0]} reads meanwhile")
    assert int(mebibytes) <= LIMIT_MIB
    assert not wrong
    assert asked[0] > 10
    release = Concepts(tmp_path / name)
    assert release.find(RXNORM, "2000001") is not None
    drug = RxNorm(Store(tmp_path / name)).drug("2000001")
    assert drug is not None
    assert [component.name for component in drug.components] == ["ingredient1"]
    assert release.with_relation(RXNORM, "consists_of", ["1000001"])[0].code == "2000001"
