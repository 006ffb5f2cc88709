"""No secret stands in the repository: keys of known makers, PEM blocks, tokens, passwords in code or settings.

Found by detect-secrets (github.com/Yelp/detect-secrets); what only looks like one is listed below.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = (
    "AWSKeyDetector",
    "ArtifactoryDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TwilioKeyDetector",
)
# Data of others (terminologies, definitions, charts, vendored scripts), which have SOURCES.toml beside them.
DATA = ("generated", "definitions", "vendor", "golden", "images", "released_schemas", "static")
LARGEST = 200_000  # bytes: what people write is smaller

# File -> what only looks like a secret there, and why it is none.
ALLOWED = {
    "benchmarks/hl7v2_intake.py": "the key of a server that lives for a minute",
    "benchmarks/processes.py": "the key of a server that lives for a minute",
    "server/settings.py": "the names of settings, and how to make a key",
    "server/storage/database_url.py": "the form of an address",
    "tests/": "keys, passwords and tokens of servers that live for a test",
    "docs/reference/": "the form of an address",
    "docker/": "settings of a container whose values are given when it starts",
}
# What may stand nowhere, tests included: these belong to somebody.
NOWHERE = {"Private Key", "AWS Access Key", "GitHub Token", "Slack Token", "Stripe Access Key", "PyPI Token"}


def tracked() -> Iterator[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".lock", ".gz", ".png", ".woff2", ".mo", ".po"} or set(DATA) & set(Path(name).parts):
            continue
        if path.is_file() and path.stat().st_size < LARGEST:
            yield name


def found_in(path: Path) -> list[tuple[str, int]]:
    """(kind of secret, line) of a file."""
    with transient_settings({"plugins_used": [{"name": name} for name in PLUGINS]}):
        return [(secret.type, secret.line_number) for secret in scan_file(str(path))]


def is_allowed(name: str, kind: str) -> bool:
    return kind not in NOWHERE and any(name == known or name.startswith(known) for known in ALLOWED)


@pytest.mark.slow
def test_no_secret_is_kept_in_the_repository() -> None:
    found = []
    with transient_settings({"plugins_used": [{"name": name} for name in PLUGINS]}):
        for name in tracked():
            found += [
                f"{name}:{secret.line_number}: {secret.type}"
                for secret in scan_file(str(ROOT / name))
                if not is_allowed(name, secret.type)
            ]
    assert found == [], "remove it, make it void, or say in ALLOWED why it is none"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "Private Key"),
        ("key = 'AKIA" + "IOSFODNN7EXAMPLQ'", "AWS Access Key"),
        ("token = 'ghp_" + "a1B2c3D4" * 4 + "e5F6'", "GitHub Token"),
        ("db = 'postgresql://baton:" + "hunter22@db/baton'", "Basic Auth Credentials"),
        ("password = '" + "correct horse battery'", "Secret Keyword"),
    ],
)
def test_the_scan_finds_what_it_should(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / "written.py"
    path.write_text(text + "\n")
    assert kind in {found for found, _ in found_in(path)}


def test_every_exception_is_still_needed() -> None:
    names = list(tracked())
    for known in ALLOWED:
        assert any(name == known or name.startswith(known) for name in names), known
