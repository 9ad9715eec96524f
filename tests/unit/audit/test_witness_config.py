"""Which witnesses an operator may name, and how many of them may be asked for: anything else is one line."""

import json

import pytest

from libs.common.errors import ConfigError
from services.audit.config import MOST_WITNESSES, Config
from tests.support.audit_log import Cosigner, Signer

WITNESSES, QUORUM, SECONDS = "REEVE_AUDIT_WITNESSES", "REEVE_AUDIT_WITNESS_QUORUM", "REEVE_AUDIT_WITNESS_SECONDS"


def named(*names: str) -> str:
    """Witnesses of these names, as the variable has them."""
    return json.dumps([{"url": "https://w.test/", "vkey": Cosigner(name).vkey} for name in names])


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Config:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Config.load()


def test_without_witnesses_there_is_no_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch).quorum is None


@pytest.mark.parametrize(("quorum", "least"), [("", 3), ("1", 1), ("3", 3)])
def test_all_are_asked_for_unless_fewer_are_named(monkeypatch: pytest.MonkeyPatch, quorum: str, least: int) -> None:
    config = loaded(monkeypatch, **{WITNESSES: named("a", "b", "c"), QUORUM: quorum})
    assert config.quorum is not None
    assert (config.quorum.least, [key.name for key in config.quorum.keys]) == (least, ["a", "b", "c"])
    assert config.audit_witness_seconds == 10


ONE = json.loads(named("a"))[0]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({WITNESSES: "no json"}, f"{WITNESSES}: must be valid JSON"),
        ({WITNESSES: json.dumps([{"url": ONE["url"]}])}, f"{WITNESSES}: 0.vkey: must be set"),
        ({WITNESSES: json.dumps([{**ONE, "url": "nowhere"}])}, f"{WITNESSES}: 0.url: "),
        ({WITNESSES: json.dumps([{**ONE, "vkey": Signer().vkey}])}, "must be of the kind Ed25519 cosignatures (0x04)"),
        ({WITNESSES: json.dumps([{**ONE, "vkey": ONE["vkey"][:-4]}])}, f"{WITNESSES}: 0.vkey: "),
        ({WITNESSES: json.dumps([{**ONE, "more": "x"}])}, f"{WITNESSES}: 0.more: "),
        ({WITNESSES: named("a", "b", "a")}, "may come twice"),
        ({WITNESSES: named(*"abcdefghi")}, f"{WITNESSES}: must be at most {MOST_WITNESSES} long"),
        ({WITNESSES: named("a"), QUORUM: "2"}, f"{QUORUM}: "),
        ({QUORUM: "1"}, "must be at most the number of witnesses, 0"),
        ({WITNESSES: named("a"), QUORUM: "0"}, f"{QUORUM}: "),
        ({SECONDS: "0"}, f"{SECONDS}: "),
        ({SECONDS: "61"}, f"{SECONDS}: "),
    ],
)
def test_what_is_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as failed:
        loaded(monkeypatch, **variables)
    assert said in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1
