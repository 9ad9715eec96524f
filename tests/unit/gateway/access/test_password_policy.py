"""Which passwords are refused: rules of our own, and a sorted file that is searched."""

from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import ConfigError, Invalid
from services.gateway.access.breaches import BreachListUnavailable, FileList
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.access.weakness import LEAST_PASSWORD, weakness
from services.gateway.config import Config


@pytest.mark.parametrize(
    ("password", "is_weak"),
    [
        ("aaaaaaaaaaaa", True),
        ("abababababab", True),
        ("AaAaBbBbCcCc", True),
        ("abcdabcdabcde", False),
        ("ada.lovelace@example.com", True),
        ("ADA.Lovelace1815", True),
        ("lovelacelovelace", True),
        ("example.com!2026", True),
        ("Ada likes tea and engines", False),
        ("correct horse battery", False),
        ("söhne gehören dazu", False),
    ],
)
def test_the_rules(password: str, is_weak: bool) -> None:
    assert (weakness(password, email="ada.lovelace@example.com", name="Ada Lovelace") is not None) is is_weak


def test_a_name_counts_however_it_was_composed() -> None:
    assert weakness("Zoe\u0308Zoe\u0308Zoe\u0308 1", email="z@x.example", name="Zo\u00eb") is not None


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_text_breaks_the_rules(password: str, email: str, name: str) -> None:
    reason = weakness(password, email=email, name=name)
    assert reason is None or not password or password not in reason or len(password) < LEAST_PASSWORD


def digest_of(password: str) -> str:
    return sha1(password.encode()).hexdigest().upper()


def write(path: Path, digests: set[str], *, counted: bool, newline: str, lower: bool) -> None:
    counts = [f":{len(one) * 7 ** (number % 9)}" if counted else "" for number, one in enumerate(sorted(digests))]
    lines = [one + count for one, count in zip(sorted(digests), counts, strict=True)]
    text = newline.join(lines) + (newline if len(digests) % 2 else "")
    path.write_bytes((text.lower() if lower else text).encode())


DIGESTS = st.sets(st.integers(0, 2**160 - 1).map(lambda number: f"{number:040X}"), min_size=1, max_size=60)


@given(
    held=DIGESTS, others=DIGESTS, counted=st.booleans(), newline=st.sampled_from(["\n", "\r\n"]), lower=st.booleans()
)
async def test_a_file_holds_what_is_in_it_and_nothing_else(
    *,
    tmp_path_factory: pytest.TempPathFactory,
    held: set[str],
    others: set[str],
    counted: bool,
    newline: str,
    lower: bool,
) -> None:
    path = tmp_path_factory.mktemp("breaches") / "list.txt"
    write(path, held, counted=counted, newline=newline, lower=lower)
    found = FileList(path)
    found.check()
    edges = {"0" * 40, "F" * 40, *(f"{max(0, int(one, 16) - 1):040X}" for one in held)}
    for one in held | others | edges:
        assert await found.holds(one) is (one in held)


async def test_a_password_in_the_file_is_refused_and_the_refusal_names_no_password(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    known = "correct horse battery"
    write(path, {digest_of(known), digest_of("other")}, counted=True, newline="\n", lower=False)
    policy = PasswordPolicy([FileList(path)])
    await policy.check("a password nobody knows", email="a@x.example", name="A", member="password")
    with pytest.raises(Invalid) as refused:
        await policy.check(known, email="a@x.example", name="A", member="new_password")
    detail = refused.value.detail()
    assert (refused.value.status, detail["error"]) == (422, "breached_password")
    assert detail["errors"][0]["loc"] == ["body", "new_password"]
    assert known not in str(detail)


async def test_a_file_that_is_gone_refuses_nobody(tmp_path: Path) -> None:
    gone = FileList(tmp_path / "gone")
    with pytest.raises(BreachListUnavailable):
        await gone.holds("0" * 40)
    await PasswordPolicy([gone]).check("a password nobody knows", email="a@x.example", name="A", member="password")


@pytest.mark.parametrize("content", [b"", b"password\n", b"0" * 39 + b"\n", b"0" * 40 + b" 7\n", None])
def test_what_is_no_such_file_is_refused_at_start(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("REEVE_BREACH_LIST_FILE", str(path))
    with pytest.raises(ConfigError, match="REEVE_BREACH_LIST_FILE"):
        Config.load()


@pytest.mark.parametrize("url", ["ftp://x", "http://breaches.example.com", "https://10.0.0.1", "https://x y"])
def test_a_server_is_asked_over_tls_or_on_loopback(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_BREACH_LIST_URL", url)
    with pytest.raises(ConfigError, match="REEVE_BREACH_LIST_URL"):
        Config.load()
