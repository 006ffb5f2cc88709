"""Fixtures of the vocabulary tests: the shipped tables built once, releases in official layouts."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from terminology.concepts import Concepts
from terminology.rxnorm import RxNorm
from terminology.store import Store, open_store

MakeZip = Callable[[str, dict[str, Iterable[str]]], Path]


@pytest.fixture(scope="session")
def built(pytestconfig: pytest.Config) -> Path:
    """The file of the shipped tables."""
    return open_store(pytestconfig.cache.mkdir("terminology")).path


@pytest.fixture(scope="session")
def rxnorm(built: Path) -> RxNorm:
    return RxNorm(Store(built))


@pytest.fixture(scope="session")
def concepts(built: Path) -> Concepts:
    return Concepts(built)


@pytest.fixture
def make_zip(tmp_path: Path) -> MakeZip:
    """Write a zip of text files, each from its lines."""

    def make(name: str, files: dict[str, Iterable[str]]) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, lines in files.items():
                with archive.open(member, "w") as file:
                    for line in lines:
                        file.write(line.encode() + b"\n")
        return path

    return make


class Rrf:
    """Rows of RxNorm's tables in their true columns; what no reader asks for is empty."""

    @staticmethod
    def name(
        rxcui: str,
        tty: str,
        text: str,
        sab: str = "RXNORM",
        code: str = "",
        srl: str = "0",
        suppress: str = "N",
    ) -> str:
        """RXNCONSO"""
        return f"{rxcui}|ENG||||||{rxcui}|{rxcui}|||{sab}|{tty}|{code or rxcui}|{text}|{srl}|{suppress}|4096|"

    @staticmethod
    def relation(first: str, rela: str, second: str, sab: str = "RXNORM") -> str:
        """RXNREL: what the second concept is to the first."""
        return f"{first}||CUI|RO|{second}||CUI|{rela}|1||{sab}||||||"

    @staticmethod
    def attribute(rxcui: str, name: str, value: str, sab: str = "RXNORM", suppress: str = "N") -> str:
        """RXNSAT"""
        return f"{rxcui}|||1|AUI|{rxcui}|||{name}|{sab}|{value}|{suppress}|4096|"

    @staticmethod
    def source(version: str) -> str:
        """RXNSAB"""
        return f"C1|C2|RXNORM_{version}|RXNORM|RxNorm Vocabulary, {version}||||||||||||||||||||"


@pytest.fixture(scope="session")
def rrf() -> type[Rrf]:
    return Rrf
