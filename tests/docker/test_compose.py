"""compose.yaml: every service checked, confined and without a default password.

Covers docker/compose.yaml; docs/how-to/deploy-with-containers.md. Where a Docker client with Compose is at
hand it reads the file as well.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from server.settings import KNOWN, read_settings

Script = Callable[..., subprocess.CompletedProcess[str]]
PARTS = ("web", "app", "worker", "mllp", "app-worker")
NEIGHBOURS = ("postgresql", "valkey", "proxy")
FOR_SCRIPTS = {"DATABASE_PASSWORD_FILE", "REDIS_PASSWORD_FILE", "TRUSTED_CERTIFICATES"}


def test_every_part_is_a_service_and_none_that_does_not_exist(compose: dict[str, Any]) -> None:
    parts = {point.name for point in importlib.metadata.entry_points(group="baton.parts")}
    commands = [service.get("command", [""]) for service in compose["services"].values()]
    served = {command[1] for command in commands if command[0] == "serve"}
    assert served == parts == set(PARTS)
    assert set(compose["services"]) == served | set(NEIGHBOURS)


def test_images_are_pinned_and_built_once(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert all(re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image) for image in images.values()), images
    assert {images[part] for part in PARTS} == {f"baton:{importlib.metadata.version('baton-fhir')}"}
    assert [name for name, service in compose["services"].items() if "build" in service] == ["web"]


@pytest.mark.parametrize("name", [*PARTS, *NEIGHBOURS])
def test_no_service_has_more_rights_than_it_needs(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert "no-new-privileges:true" in service["security_opt"]
    for right in ("privileged", "network_mode", "pid", "ipc", "cap_add", "devices", "userns_mode"):
        assert right not in service
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    if name != "postgresql":  # its image starts as root to take its folder over, then becomes `postgres`
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"].startswith("${BATON_UID")
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", [*PARTS, *NEIGHBOURS])
def test_every_service_has_a_health_check(compose: dict[str, Any], docker_folder: Path, name: str) -> None:
    kind, program, *arguments = compose["services"][name]["healthcheck"]["test"]
    if program.startswith("/opt/docker/"):
        assert (docker_folder / Path(program).name).exists()
        assert kind == "CMD"
    if name in PARTS:
        assert (program, arguments) == ("/opt/docker/healthcheck.sh", [name])


def test_only_the_proxy_and_the_listener_are_reached_from_outside(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["mllp", "proxy"]
    assert compose["services"]["mllp"]["ports"] == ["${MLLP_ADDRESS:-127.0.0.1}:${MLLP_PORT:-2575}:2575"]
    assert compose["services"]["mllp"]["environment"]["BATON_MLLP_ALLOW"] == "${MLLP_ALLOW:-127.0.0.0/8}"
    networks = compose["networks"]
    assert networks["inside"]["internal"] is True
    assert networks["front"]["internal"] is True
    for name in ("postgresql", "valkey"):
        assert list(compose["services"][name]["networks"]) == ["inside"]
    assert "inside" not in compose["services"]["proxy"]["networks"]


def test_the_proxy_alone_is_trusted_to_name_the_caller(compose: dict[str, Any]) -> None:
    trusted = ip_network(compose["services"]["web"]["environment"]["BATON_TRUSTED_PROXIES"])
    proxy = compose["services"]["proxy"]["networks"]["front"]["ipv4_address"]
    assert list(trusted) == [ip_address(proxy)]
    assert ip_address(proxy) in ip_network(compose["networks"]["front"]["ipam"]["config"][0]["subnet"])
    # No other network is shared, so the proxy has this one address for the parts behind it.
    for part in PARTS:
        shared = set(compose["services"][part]["networks"]) & set(compose["services"]["proxy"]["networks"])
        assert shared <= {"front"}


def test_every_variable_is_a_setting_of_baton_or_read_by_the_entrypoint(
    compose: dict[str, Any], docker_folder: Path
) -> None:
    entrypoint = (docker_folder / "entrypoint.sh").read_text("utf-8")
    for part in PARTS:
        for name in compose["services"][part]["environment"]:
            assert name in KNOWN or (name in FOR_SCRIPTS and name in entrypoint), name


def test_baton_accepts_the_settings_of_every_part(
    compose: dict[str, Any], tmp_path: Path, run_script: Script
) -> None:
    assert run_script("init.sh", tmp_path).returncode == 0
    values = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line[0] != "#")
    for part in PARTS:
        environment = {
            name: _filled(str(value), values).replace("/run/secrets", str(tmp_path / "secrets"))
            for name, value in compose["services"][part]["environment"].items()
        }
        settings = read_settings({**environment, "BATON_HOME": str(tmp_path / "home")})
        assert settings.base_url == "https://fhir.localhost"
        assert settings.database_url.startswith("postgresql://")
        assert len(settings.secret_key) >= 64


def test_no_password_has_a_default_and_secrets_are_files(compose: dict[str, Any], docker_folder: Path) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|KEY", variable):
                assert variable.endswith(("_FILE", "TLS_KEY")), (name, variable)
                assert str(value).startswith("/run/secrets/")
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    assert all(secret["file"].startswith("./secrets/") for secret in compose["secrets"].values())
    ignored = (docker_folder / ".gitignore").read_text("utf-8").split()
    assert {"/.env", "/secrets/"} <= set(ignored)


def test_each_service_gets_the_secrets_it_names_and_no_others(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        words = [*service.get("environment", {}).values(), *service.get("command", [])]
        told = " ".join(map(str, words + service["healthcheck"]["test"]))
        told += " /run/secrets/tls.crt" * (name in PARTS)  # by TRUSTED_CERTIFICATES of .env
        assert set(service.get("secrets", [])) == set(re.findall(r"/run/secrets/([\w.-]+)", told)), name


def test_volumes_are_named_and_the_app_cannot_read_the_servers_keys(compose: dict[str, Any]) -> None:
    homes = {
        part: [volume for volume in compose["services"][part]["volumes"] if volume.endswith(":/var/lib/baton")]
        for part in PARTS
    }
    assert all(len(volumes) == 1 for volumes in homes.values())
    assert homes["web"] == homes["worker"] == homes["mllp"] != homes["app"] == homes["app-worker"]
    mounted = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    named = {volume.partition(":")[0] for volume in mounted}
    assert {name for name in named if not name.startswith("./")} == set(compose["volumes"])


def test_backups_lie_outside_of_every_home_for_the_containers_user_alone(
    compose: dict[str, Any], docker_folder: Path, tmp_path: Path, run_script: Script
) -> None:
    assert "./backups:/backups" in compose["services"]["worker"]["volumes"]
    page = (docker_folder.parent / "docs/how-to/deploy-with-containers.md").read_text("utf-8")
    assert set(re.findall(r"(?:backup|restore) (/\S+?)/", page)) == {"/backups"}
    assert run_script("init.sh", tmp_path).returncode == 0
    assert stat.S_IMODE((tmp_path / "backups").stat().st_mode) == 0o700
    assert "/backups/" in (docker_folder / ".gitignore").read_text("utf-8").split()


def test_compose_reads_it(tmp_path: Path, run_script: Script, docker_folder: Path) -> None:
    command = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip("no Docker client with Compose is here")
    run_script("init.sh", tmp_path)
    files = ["--env-file", tmp_path / ".env", "--file", docker_folder / "compose.yaml"]
    done = subprocess.run([*command, *files, "config", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _filled(text: str, values: dict[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-default}` and `${NAME:?words}`."""

    def value(match: re.Match[str]) -> str:
        name, _, default = match[1].partition(":")
        if default.startswith("?"):
            return values[name]
        return values.get(name) or default.removeprefix("-")

    return re.sub(r"\$\{([^}]+)\}", value, text)
