"""Where the tests get their OpenID Provider, and what they say when they cannot."""

from pathlib import Path

import pytest

from tests.support.npm_install import PROVIDER, installed

NOWHERE = "http://127.0.0.1:1/"


def test_without_network_and_cache_the_tests_fail_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", NOWHERE)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(pytest.fail.Exception) as failed:
        installed(PROVIDER, tmp_path / "cache")
    assert str(failed.value).startswith("No OpenID Provider for these tests: ")
    assert "\n" not in str(failed.value)


def test_an_installation_that_broke_off_is_not_taken_for_one(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = installed(PROVIDER, cache)
    (cache / "openid-provider-0.part").mkdir()
    assert installed(PROVIDER, cache) == first
    assert first.script.exists()
    assert (first.script.parent / "node_modules" / "oidc-provider").is_dir()
