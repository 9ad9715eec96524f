#!/usr/bin/env python3
"""Writes what `docker compose up` needs and nobody may commit: random passwords and the broker's definitions.

Needs nothing but Python 3.9. `.env` gets mode 0600; values that are there already stay, what is missing is added,
so running it again is safe. The broker's definitions are rendered from the passwords in `.env`, which leave it only
as salted hashes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "deploy" / "rabbitmq" / "definitions.template.json"

SERVICES = ("gateway", "audit", "settings", "notifications")
DB_PASSWORDS = tuple(f"REEVE_DB_PASSWORD_{role.upper()}" for role in ("migrator", *SERVICES))
BROKER_PASSWORDS = tuple(f"REEVE_BROKER_PASSWORD_{service.upper()}" for service in SERVICES)
SERVICE_PASSWORDS = (*DB_PASSWORDS, *BROKER_PASSWORDS)
"""Those that can be drawn anew at any time: `prepare` and the broker's start set them again."""
FIRST_START_PASSWORDS = ("POSTGRES_PASSWORD", "REEVE_DB_PASSWORD_MONITOR", "GRAFANA_ADMIN_PASSWORD")
"""Those that only the first start with empty volumes sets."""
ADMIN_PASSWORD = "REEVE_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable

_PASSWORD = re.compile(r"[A-Za-z0-9_-]{24,}")
_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


class Refused(Exception):
    """The environment file is not fit for use; the message says what to change."""


def main(arguments: list[str] | None = None) -> int:
    """Write both files; 2 with one line on standard error when something is wrong."""
    options = _parser().parse_args(arguments)
    env_file = options.folder / ".env"
    definitions = options.folder / "deploy" / "rabbitmq" / "definitions.json"
    try:
        values = read_env(env_file)
        fresh = complete(values, email=options.admin_email, public_url=options.public_url, rotate=options.rotate)
        check(fresh)
        write(env_file, render_env(fresh), mode=0o600)
        # The broker runs as another user and must be able to read it; hashes of random passwords give nothing away.
        write(definitions, render_definitions(TEMPLATE.read_text(encoding="utf-8"), fresh), mode=0o644)
    except (Refused, OSError) as error:
        print(f"make_env: {error}", file=sys.stderr)
        return 2
    print(f"wrote {env_file} (mode 0600) and {definitions}")
    print(f"the first administrator is {fresh['REEVE_ADMIN_EMAIL']}; the password is {ADMIN_PASSWORD} in .env")
    return 0


def complete(
    values: dict[str, str], *, email: str | None = None, public_url: str | None = None, rotate: bool = False
) -> dict[str, str]:
    """`values` with everything that was missing; `rotate` draws the services' own passwords anew."""
    fresh = dict(values)
    for name in (*FIRST_START_PASSWORDS, *SERVICE_PASSWORDS, ADMIN_PASSWORD):
        if not fresh.get(name) or (rotate and name in SERVICE_PASSWORDS):
            fresh[name] = secrets.token_urlsafe(32)
    fresh["REEVE_ADMIN_EMAIL"] = email or fresh.get("REEVE_ADMIN_EMAIL") or "admin@example.com"
    fresh["REEVE_PUBLIC_URL"] = public_url or fresh.get("REEVE_PUBLIC_URL") or "http://127.0.0.1:8080"
    fresh.setdefault("REEVE_PUBLISH", "127.0.0.1:8080")
    fresh.setdefault("REEVE_CLIENTS", "[]")
    return fresh


def check(values: dict[str, str]) -> None:
    """Raise `Refused` for a password that is short, shared, or not safe inside a URL."""
    names = (*FIRST_START_PASSWORDS, *SERVICE_PASSWORDS)
    for name in names:
        if not _PASSWORD.fullmatch(values[name]):
            raise Refused(f"{name} in .env must be at least 24 characters of A-Z, a-z, 0-9, _ and -")
    if len({values[name] for name in names}) != len(names):
        raise Refused("two passwords in .env are the same; each must be its own")
    if len(values[ADMIN_PASSWORD]) < 12:
        raise Refused(f"{ADMIN_PASSWORD} in .env must be at least 12 characters")
    for name, value in values.items():
        if "'" in value or "\n" in value:
            raise Refused(f"{name} in .env must not contain a single quote or a line break")


def password_hash(password: str, *, salt: bytes) -> str:
    """What RabbitMQ stores of a password (`rabbit_password_hashing_sha256`).

    Base64 of the four bytes of salt and the SHA-256 of salt and password in UTF-8.
    """
    if len(salt) != 4:
        raise ValueError(f"salt must be 4 bytes, got {len(salt)}")
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def render_definitions(template: str, values: dict[str, str]) -> str:
    """The broker's definitions: the committed template with each service's password hash in its place."""
    hashes = {
        name.replace("PASSWORD", "HASH"): password_hash(values[name], salt=secrets.token_bytes(4))
        for name in BROKER_PASSWORDS
    }
    rendered = _PLACEHOLDER.sub(lambda found: hashes[found[1]], template)
    json.loads(rendered)
    return rendered


def read_env(path: Path) -> dict[str, str]:
    """The variables of an environment file as this script writes it; none when there is no file."""
    if not path.exists():
        return {}
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise Refused(f".env line {number} must be NAME=value")
        value = found["value"].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[found["name"]] = value
    return values


def render_env(values: dict[str, str]) -> str:
    """One variable a line, in single quotes so that compose takes every character as it is."""
    lines = ["# Written by deploy/make_env.py. Holds secrets: never commit it, back it up where secrets are kept."]
    lines += [f"{name}='{value}'" for name, value in sorted(values.items())]
    return "\n".join(lines) + "\n"


def write(path: Path, content: str, *, mode: int) -> None:
    """Replace the file whole; it never exists with a wider mode than `mode`."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Write .env and the broker's definitions for docker compose.")
    parser.add_argument("--admin-email", help="e-mail of the first super admin (default: admin@example.com)")
    parser.add_argument("--public-url", help="the URL that callers use (default: http://127.0.0.1:8080)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT, help="where the platform's files lie (default: %(default)s)"
    )
    parser.add_argument("--rotate", action="store_true", help="draw the services' database and broker passwords anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
