"""The image: what gets into it, as whom it runs, and that every step is a script of docker/.

Covers docker/Dockerfile, .dockerignore, docker/user.sh, docker/install.sh.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[..., subprocess.CompletedProcess[str]]
PINNED = re.compile(r"\S+:\d+\.\d+\.\d+-\S+( AS \w+)?")
IN_IMAGE = ("/source/docker/", "/opt/docker/")
LIST = """
import importlib.metadata, json
print(json.dumps({each.name.lower(): each.version for each in importlib.metadata.distributions()}))
"""
LOOK = """
import pathlib
from terminology.rxnorm import open_rxnorm
from server.storage import open_store
open_rxnorm(pathlib.Path("terminology"))
open_store("sqlite:///baton.sqlite3").upgrade()
"""


def test_base_images_are_pinned_by_version(dockerfile: list[Any]) -> None:
    images = [each.text for each in dockerfile if each.name == "FROM"]
    assert len(images) == 2
    assert all(PINNED.fullmatch(image) for image in images), images
    assert all("slim" in image for image in images)


def test_every_step_is_a_script_of_this_repository(dockerfile: list[Any], docker_folder: Path) -> None:
    commands = [each for each in dockerfile if each.name in ("RUN", "ENTRYPOINT")]
    commands += [each for each in dockerfile if each.name == "HEALTHCHECK"]
    programs = [json.loads(each.text[each.text.index("[") :])[0] for each in commands]
    assert len(programs) == 4
    for program in programs:
        folder, _, name = program.rpartition("/")
        assert folder + "/" in IN_IMAGE
        script = docker_folder / name
        assert os.access(script, os.X_OK), name
        copied = " ".join(each.text for each in dockerfile if each.name == "COPY")
        assert f"docker/{name}" in copied


def test_it_runs_as_an_unprivileged_user_and_writes_to_one_folder(dockerfile: list[Any]) -> None:
    last = [each for each in dockerfile if each.stage == 1]
    users = [each.text for each in last if each.name == "USER"]
    assert users == ["${BATON_UID}:${BATON_GID}"]
    defaults = dict(each.text.split("=") for each in last if each.name == "ARG")
    assert all(int(number) >= 10000 for number in defaults.values())
    assert [each.text for each in last if each.name == "VOLUME"] == ["/var/lib/baton"]
    order = [each.name for each in last]
    assert order.index("RUN") < order.index("USER") < order.index("ENTRYPOINT")


def test_no_file_comes_from_the_network_and_no_secret_is_in_a_layer(
    dockerfile: list[Any], docker_folder: Path
) -> None:
    assert not [each for each in dockerfile if each.name == "ADD"]
    text = (docker_folder / "Dockerfile").read_text("utf-8")
    assert not re.search(r"https?://", text)
    named = [each.text for each in dockerfile if each.name in ("ENV", "ARG")]
    assert not [text for text in named if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", text)]


def test_the_final_image_holds_the_environment_and_two_scripts_of_use(dockerfile: list[Any]) -> None:
    copies = [each.text for each in dockerfile if each.stage == 1 and each.name == "COPY"]
    assert copies == [
        "docker/user.sh docker/entrypoint.sh docker/healthcheck.sh /opt/docker/",
        "--from=build /opt/baton /opt/baton",
    ]


def test_only_what_is_copied_reaches_the_build(dockerfile: list[Any], docker_folder: Path) -> None:
    lines = (docker_folder.parent / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        source
        for each in dockerfile
        if each.name == "COPY" and "--from" not in each.text
        for source in each.text.split()[:-1]
    }
    assert {source for source in copied if not source.startswith("docker/")} == let_in - {"docker/*.sh"}
    assert all((docker_folder.parent / source).exists() for source in copied)
    assert {"**/.env", "**/secrets"} <= set(rules)


@pytest.mark.parametrize(
    "script",
    ["create-venv.sh", "entrypoint.sh", "healthcheck.sh", "init.sh", "install.sh", "proxy.sh", "user.sh"],
)
def test_scripts_are_posix_shell_and_stop_at_the_first_error(docker_folder: Path, script: str) -> None:
    path = docker_folder / script
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "set -eu" in lines
    assert subprocess.run(["sh", "-n", path]).returncode == 0


def test_the_user_owns_one_folder_that_others_cannot_enter(tmp_path: Path, run_script: Script) -> None:
    (tmp_path / "etc").mkdir()
    numbers = {"BATON_UID": str(os.getuid()), "BATON_GID": str(os.getgid())}
    done = run_script("user.sh", ROOT=str(tmp_path), **numbers)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "var/lib/baton").stat()
    assert (home.st_uid, home.st_gid, home.st_mode & 0o777) == (os.getuid(), os.getgid(), 0o700)
    assert (tmp_path / "etc/passwd").read_text().endswith(":/var/lib/baton:/usr/sbin/nologin\n")


def run(command: list[Any], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.network
@pytest.mark.long
def test_the_environment_is_installed_from_the_lock_without_what_builds(
    tmp_path: Path, run_script: Script, docker_folder: Path
) -> None:
    folder = tmp_path / "baton"
    cache = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "XDG_"))}
    python = str(Path(sys.executable).resolve())
    done = run_script("install.sh", docker_folder.parent, folder, python, **(cache | {"PIP_NO_CACHE_DIR": "0"}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("baton, version")
    listed = run([folder / "bin/python", "-c", LIST], cwd=tmp_path)
    installed = json.loads(listed.stdout)
    assert not {"pip", "setuptools", "pytest", "mypy", "ruff"} & set(installed)
    locked = re.findall(r"^([\w.-]+)==(\S+)", (docker_folder.parent / "requirements.lock").read_text(), re.M)
    wanted = {name.lower().replace("_", "-"): version for name, version in locked} | {"baton-fhir": None}
    assert {name.replace("_", "-").replace(".", "-") for name in installed} == {
        name.replace("_", "-").replace(".", "-") for name in wanted
    }
    # It is complete: the parts are found, and the data they read is in the package.
    assert "app, app-worker" in run([folder / "bin/baton", "serve", "nothing"], cwd=tmp_path).stderr
    assert run([folder / "bin/python", "-c", LOOK], cwd=tmp_path).returncode == 0
