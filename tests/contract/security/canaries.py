"""Secrets with unique texts, and the search for them in every form that they may have taken."""

import base64
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import asyncpg

LEAST_FORM = 8


@dataclass
class Canaries:
    """Every secret by what it is."""

    texts: dict[str, str] = field(default_factory=dict)

    def make(self, name: str) -> str:
        """A new secret that reads differently in every encoding."""
        return self.add(name, f'Kv"{secrets.token_urlsafe(12)}+/ü<{secrets.token_urlsafe(9)}')

    def add(self, name: str, text: str) -> str:
        """A secret that was made elsewhere."""
        self.texts[name] = text
        return text

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
        """The places that hold a secret, with its name."""
        forms = [(name, form) for name, text in self.texts.items() for form in set(forms_of(text))]
        return {(place, name) for place, content in places for name, form in forms if form in content}


def forms_of(text: str) -> Iterator[bytes]:
    """The text as it is, escaped in JSON, quoted in a URL, in hex and in base64 at any offset."""
    raw = text.encode()
    yield raw
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield json.dumps(json.dumps(text))[1:-1].encode()
    yield quote(text, safe="").encode()
    yield quote_plus(text).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # The characters at both ends also depend on the neighbours.
            inner = encode(b"\0" * offset + raw)[2 if offset else 0 : (offset + len(raw)) // 3 * 4]
            if len(inner) >= LEAST_FORM:
                yield inner[2 if offset else 0 :]


async def all_rows(admin_url: str) -> list[tuple[str, bytes]]:
    """Every row of every table of the database as bytes, named by its table."""
    connection = await asyncpg.connect(admin_url)
    try:
        tables = await connection.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        return [
            (f"{schema}.{table}", b"\n".join(_bytes(value) for value in row))
            for schema, table in tables
            for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
        ]
    finally:
        await connection.close()


async def keep_outboxes(admin_url: str, schemas: Iterable[str]) -> None:
    """Copy whatever is ever written to an outbox or the dead letters, since such rows do not stay."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("""
            CREATE SCHEMA canary; GRANT USAGE ON SCHEMA canary TO PUBLIC;
            CREATE TABLE canary.kept (of text, content bytea, row_text text);
            CREATE FUNCTION canary.keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$BEGIN INSERT INTO canary.kept VALUES (TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, NEW.body, NEW::text); RETURN NEW; END$$
        """)
        for schema in schemas:
            for table in ("outbox", "dead_letters"):
                await connection.execute(
                    f"CREATE TRIGGER keep AFTER INSERT ON {schema}.{table} FOR EACH ROW EXECUTE FUNCTION canary.keep()"
                )
    finally:
        await connection.close()


async def stop_keeping(admin_url: str) -> None:
    """Undo `keep_outboxes`."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("DROP SCHEMA canary CASCADE")
    finally:
        await connection.close()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
