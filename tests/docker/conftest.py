"""The files of docker/ as they are shipped, and ways to run their scripts without Docker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile. stage: number of the FROM it stands under, from 0."""

    stage: int
    name: str
    text: str


@pytest.fixture(scope="session")
def docker_folder() -> Path:
    return DOCKER


@pytest.fixture(scope="session")
def dockerfile() -> list[Instruction]:
    """The instructions of docker/Dockerfile, continued lines joined, comments left out."""
    text = (DOCKER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: list[Instruction] = []
    stage = -1
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, " ".join(rest.split())))
    return found


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """compose.yaml with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_script("init.sh", ARGUMENTS..., NAME="value")`: one of docker/'s scripts with little environment."""

    def run(name: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            [DOCKER / name, *arguments],
            env={"PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.fixture
def free_port() -> Callable[[], int]:
    def choose() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return choose
