"""What is sealed for a link takes whatever an account may be called; a token says nothing of itself."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.common.events.deliveries import LinkMail
from services.gateway.features.links.models import Purpose, Token, hash_of
from services.gateway.features.users.models import Email, UserName

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_NAME: TypeAdapter[str] = TypeAdapter(UserName)


def fits(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


@given(
    st.one_of(
        st.emails(), st.from_regex(r"^[A-Za-z0-9.!#'+-]{1,64}@[A-Za-z0-9][a-z0-9.-]{0,40}[a-z0-9]$", fullmatch=True)
    ),
    st.text(min_size=1, max_size=200),
)
def test_whoever_may_have_an_account_may_be_sent_a_link(email: str, name: str) -> None:
    if fits(_EMAIL, email) and fits(_NAME, name):
        mail = LinkMail(
            address=_EMAIL.validate_python(email), name=name, url=Token().url("https://x", Purpose.ACTIVATION)
        )
        assert LinkMail.model_validate_json(mail.model_dump_json()) == mail


def test_tokens_differ_and_are_not_shown() -> None:
    tokens = [Token() for _ in range(100)]
    assert len({one.text for one in tokens}) == 100
    assert all(len(one.text) == 43 and one.text not in repr(one) for one in tokens)
    assert tokens[0].hash == hash_of(tokens[0].text)
    assert len(tokens[0].hash) == 32


def test_a_link_keeps_its_token_from_servers_and_logs() -> None:
    token = Token()
    for purpose in Purpose:
        before, _, after = token.url("https://reeve.example.com", purpose).partition("#")
        assert (before, after) == (f"https://reeve.example.com/{purpose.page}", f"token={token.text}")
