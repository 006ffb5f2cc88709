"""Settings: every variable known, no secret by default, plain words where something is missing.

Covers server/settings.py, docs/reference/settings.md.
"""

from __future__ import annotations

import stat
from importlib.resources import files
from pathlib import Path

import pytest

from server.settings import KNOWN, SettingsError, read_settings

KEY = "k" * 32
GIVEN = {"BATON_SECRET_KEY": KEY, "BATON_TIME_ZONE": "America/Chicago"}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"


def test_the_defaults_are_those_of_the_reference(tmp_path: Path) -> None:
    settings = read_settings(GIVEN | {"BATON_HOME": str(tmp_path)})
    assert settings.database_url == f"sqlite:///{tmp_path}/baton.sqlite3"
    assert (settings.host, settings.port_web, settings.port_app, settings.port_mllp) == (
        "127.0.0.1",
        8000,
        8001,
        2575,
    )
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.fhir_base == "http://127.0.0.1:8000/fhir"
    assert not settings.demo


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"BATON_PORT_WEBB is not a setting .* did you mean BATON_PORT_WEB"):
        read_settings(GIVEN | {"BATON_PORT_WEBB": "1"})


def test_empty_means_unset(tmp_path: Path) -> None:
    settings = read_settings(GIVEN | {"BATON_HOME": str(tmp_path), "BATON_PORT_WEB": "", "BATON_BASE_URL": ""})
    assert settings.port_web == 8000


@pytest.mark.parametrize("missing", ["BATON_SECRET_KEY", "BATON_TIME_ZONE"])
def test_outside_demo_mode_there_is_no_default_secret_or_zone(missing: str, tmp_path: Path) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(SettingsError, match=missing):
        read_settings(given | {"BATON_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATON_SECRET_KEY", "qwertzuiop"),
        ("BATON_TIME_ZONE", "Mars/Olympus"),
        ("BATON_TIME_ZONE", "../etc/passwd"),
        ("BATON_PORT_WEB", "http"),
        ("BATON_PORT_WEB", "70000"),
        ("BATON_WORKERS", "0"),
        ("BATON_LOG_LEVEL", "loud"),
        ("BATON_SECRET_KEY_FILE", "/nowhere/at/all"),
        ("BATON_REDIS_URL", "http://:secret@queue.example"),
        ("BATON_OUTBOUND_ALLOW", "keys.internal,https://keys.internal"),
        ("BATON_OUTBOUND_ALLOW", "10.0.0.0/40"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_without_repeating_it(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        read_settings(GIVEN | {"BATON_HOME": str(tmp_path), name: value})
    assert value not in str(caught.value)


def test_a_key_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(range(128, 192)))
    given = {"BATON_HOME": str(tmp_path), "BATON_SECRET_KEY_FILE": str(tmp_path / "key")}
    with pytest.raises(SettingsError, match="BATON_SECRET_KEY_FILE is not text"):
        read_settings(GIVEN | given)


class TestPolicy:
    """BATON_POLICY: the site's own roles; never silently the shipped ones."""

    def given(self, tmp_path: Path, text: str | bytes) -> dict[str, str]:
        path = tmp_path / "policy.json"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return GIVEN | {"BATON_HOME": str(tmp_path), "BATON_POLICY": str(path)}

    def test_without_it_the_shipped_one_holds(self, tmp_path: Path) -> None:
        assert read_settings(GIVEN | {"BATON_HOME": str(tmp_path)}).policy is None

    def test_a_file_takes_its_place(self, tmp_path: Path) -> None:
        shipped = files("server.policy").joinpath("roles.json").read_text("utf-8")
        own = read_settings(
            self.given(tmp_path, shipped.replace('"version": "2"', '"version": "site-4"', 1))
        ).policy
        assert own is not None
        assert (own.version, own.origin) == ("site-4", str(tmp_path / "policy.json"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "it is not JSON"),
            ("{}", "version is missing"),
            (b"\xff\xfe", "not a text in UTF-8"),
        ],
    )
    def test_one_that_cannot_be_used_stops_the_start(
        self, tmp_path: Path, text: str | bytes, said: str
    ) -> None:
        with pytest.raises(SettingsError, match=f"BATON_POLICY .*{said}"):
            read_settings(self.given(tmp_path, text))

    def test_one_that_is_not_there_stops_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="BATON_POLICY cannot be read"):
            read_settings(GIVEN | {"BATON_HOME": str(tmp_path), "BATON_POLICY": str(tmp_path / "none.json")})


def test_demo_mode_makes_its_key_once_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "var"
    first = read_settings({"BATON_HOME": str(home)}, demo=True)
    second = read_settings({"BATON_HOME": str(home)}, demo=True)
    assert first.secret_key == second.secret_key
    assert stat.S_IMODE((home / "secret-key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_demonstration_keeps_its_terminal_free_of_requests(tmp_path: Path) -> None:
    home = {"BATON_HOME": str(tmp_path)}
    assert read_settings(home, demo=True).log_level == "WARNING"
    assert read_settings(home | {"BATON_LOG_LEVEL": "INFO"}, demo=True).log_level == "INFO"
    assert read_settings(GIVEN | home).log_level == "INFO"


def test_a_home_that_was_started_as_a_demonstration_stays_one(tmp_path: Path) -> None:
    (tmp_path / "demo-logins.json").write_text("[]")
    assert read_settings({"BATON_HOME": str(tmp_path)}).demo


def test_every_setting_stands_in_the_reference() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in KNOWN if f"`{name}`" not in page] == []


def test_limits_are_named_as_they_are_published(tmp_path: Path) -> None:
    chosen = read_settings(
        GIVEN | {"BATON_LIMITS": "body-bytes=10, bundle-entries=9", "BATON_HOME": str(tmp_path)}
    )
    assert chosen.limits == {"body_bytes": 10, "bundle_entries": 9}
    for wrong in (
        "body-byte=1",
        "body-bytes",
        "body-bytes=0",
        "body-bytes=-1",
        "body-bytes=1e3",
        "body-bytes=\u0661",
    ):
        with pytest.raises(SettingsError, match="BATON_LIMITS"):
            read_settings(GIVEN | {"BATON_LIMITS": wrong})


def test_proxies_are_networks_and_rates_are_numbers(tmp_path: Path) -> None:
    home = {"BATON_HOME": str(tmp_path)}
    chosen = read_settings(
        GIVEN | home | {"BATON_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32", "BATON_RATE_LIMIT": "0"}
    )
    assert [str(network) for network in chosen.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert (chosen.rate_limit, chosen.rate_limit_address) == (0, 3_000)
    for name, wrong in (
        ("BATON_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("BATON_TRUSTED_PROXIES", "*"),
        ("BATON_RATE_LIMIT", "-1"),
        ("BATON_RATE_LIMIT_ADDRESS", "many"),
    ):
        with pytest.raises(SettingsError, match=name):
            read_settings(GIVEN | home | {name: wrong})


class TestSignIn:
    def test_a_second_factor_is_by_role_and_optional_in_a_demonstration(self, tmp_path: Path) -> None:
        given = GIVEN | {"BATON_HOME": str(tmp_path)}
        assert read_settings(given).second_factor == "by-role"
        assert read_settings(given, demo=True).second_factor == "optional"
        assert read_settings(given | {"BATON_SECOND_FACTOR": "required"}, demo=True).second_factor == "required"
        with pytest.raises(
            SettingsError, match="BATON_SECOND_FACTOR is not one of by-role, required, optional"
        ):
            read_settings(given | {"BATON_SECOND_FACTOR": "yes"})

    def test_a_provider_needs_an_address_and_a_client_id(self, tmp_path: Path) -> None:
        given = GIVEN | {"BATON_HOME": str(tmp_path)}
        issuer = {"BATON_OIDC_ISSUER": "https://login.example"}
        assert read_settings(given).provider is None
        with pytest.raises(SettingsError, match="BATON_OIDC_CLIENT_ID is not set"):
            read_settings(given | issuer)
        for wrong in ("login.example", "https://login.example/?a=1"):
            with pytest.raises(SettingsError, match="BATON_OIDC_ISSUER"):
                read_settings(given | {"BATON_OIDC_ISSUER": wrong, "BATON_OIDC_CLIENT_ID": "baton"})
        with pytest.raises(SettingsError, match="BATON_OIDC_SECOND_FACTOR"):
            read_settings(given | issuer | {"BATON_OIDC_CLIENT_ID": "baton", "BATON_OIDC_SECOND_FACTOR": "yes"})

    def test_its_secret_may_stand_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("from the provider\n")
        provider = read_settings(
            GIVEN
            | {
                "BATON_HOME": str(tmp_path),
                "BATON_OIDC_ISSUER": "https://login.example",
                "BATON_OIDC_CLIENT_ID": "baton",
                "BATON_OIDC_CLIENT_SECRET_FILE": str(file),
                "BATON_OIDC_SECOND_FACTOR": "trusted",
            }
        ).provider
        assert provider is not None
        assert (provider.client_secret, provider.asks_second_factor) == ("from the provider", True)
        assert provider.name == "your organization"
