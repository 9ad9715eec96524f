"""The running gateway keeps to its own OpenAPI description, whatever it is sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import House

TOOL = Path(sys.executable).with_name("schemathesis")
EXAMPLES = os.environ.get("REEVE_TEST_EXAMPLES", "2")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header",
)  # fmt: skip
"""Left out: what the schema allows is refused for a reason that no schema can say (a foreign cursor, a setting
without a value), and `/settings/categories` takes the methods of `/settings/{key}`, of which it is one."""
EXCLUDED = (
    "/api/v1/admin/stream",  # never ends
    "/api/v1/admin/auth/logout",  # would end the session that all calls are made in
)
PARTS = {
    "commands": ("settings", "notifications", "alerts"),
    "who may": ("access", "approvals", "auth", "clients", "oauth", "roles", "security", "sessions", "users"),
    "the rest": ("audit", "events", "exports", "operations", "system"),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tags", PARTS.values(), ids=PARTS)
def test_answers_are_as_described(house: House, tmp_path: Path, tags: tuple[str, ...]) -> None:
    done = subprocess.run(
        [
            str(TOOL), "run", f"{house.url}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {house.token('super_admin')}",
            "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1",
            "--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off", "--request-timeout", "20",
            *[argument for path in EXCLUDED for argument in ("--exclude-path", path)],
            *[argument for tag in tags for argument in ("--include-tag", tag)],
        ],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "160", "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=590, check=False,
    )  # fmt: skip
    house.tokens.pop("super_admin")  # One of the calls may have ended the session that all were made in.
    assert done.returncode == 0, done.stdout[-12_000:]


def test_every_operation_is_in_one_part(house: House) -> None:
    with house.client(None) as http:
        paths = http.get("/api/v1/openapi.json").raise_for_status().json()["paths"]
    tags = {operation["tags"][0] for one in paths.values() for operation in one.values()}
    assert tags - {"stream"} <= {tag for part in PARTS.values() for tag in part}
