"""Names of objects, what is asked of storage for them, and what its refusals mean: for every input."""

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.common.events.sinks import S3Target
from services.audit.models import sinks
from services.audit.models.sinks import Batch, Outgoing, Place
from services.audit.objects.place import url_of, wishes_of
from services.audit.objects.refusals import refusal
from services.audit.objects.signing import EMPTY_SHA256, Access, signed
from services.audit.sending.s3 import object_of

NOW = datetime(2026, 1, 31, 23, 59, 58, 999_999, tzinfo=UTC)


def target(**given: Any) -> S3Target:
    """A bucket of a made-up provider."""
    usual = {"kind": "s3", "endpoint": "https://s3.example.com", "bucket": "logs", "access_key_id": "AKIDEXAMPLE"}
    return S3Target.model_validate({**usual, **given})


def batch(*bodies: bytes, first: int = 7) -> Batch:
    """Entries with these bodies."""
    entries = [
        Outgoing(first + place, f"id-{place}", "a", "info", NOW + timedelta(seconds=place), body)
        for place, body in enumerate(bodies)
    ]
    return Batch("id", first, first + len(entries), tuple(entries))


@given(st.text(max_size=60), st.sampled_from(["path", "virtual_host"]))
def test_a_name_is_the_same_when_it_is_read_out_of_the_url(text: str, addressing: str) -> None:
    try:
        place = target(prefix=text, addressing=addressing)
    except (ValidationError, UnicodeEncodeError):
        return
    parts = urlsplit(url_of(place, "2026/01/x.jsonl"))
    beside = "/logs/" if addressing == "path" else "/"
    assert parts.hostname == ("s3.example.com" if addressing == "path" else "logs.s3.example.com")
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path) == f"{beside}{text}2026/01/x.jsonl"
    assert parts.path.isascii()


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": "https://s3.example.com/path"}, {"endpoint": "https://user@s3.example.com"},
        {"endpoint": "ftp://s3.example.com"}, {"endpoint": "https://s3.example.com?x"}, {"bucket": "Logs"},
        {"bucket": "a/b"}, {"bucket": "ab"}, {"bucket": ".logs"}, {"region": "eu central"}, {"region": "a/b"},
        {"access_key_id": "a b"}, {"access_key_id": "a/b"}, {"access_key_id": ""}, {"access_key_id": "a,b"},
        {"kms_key_id": "k"}, {"kms_key_id": "k", "encryption": "AES256"}, {"retain_days": 0}, {"batch_seconds": 3601},
        {"addressing": "virtual_host", "endpoint": "https://192.0.2.1"},
        {"addressing": "virtual_host", "endpoint": "https://[2001:db8::1]:9000"}, {"secret": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_storage_could_mean_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        target(**given)


def test_locks_count_from_now_and_end_in_whole_seconds() -> None:
    asked = wishes_of(target(retain_days=30, retain_mode="compliance", write_once=True), now=NOW)
    assert asked == {
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": "2026-03-02T23:59:58Z",
        "if-none-match": "*",
    }
    sealed = wishes_of(target(encryption="aws:kms", kms_key_id="alias/a", retain_days=1), now=NOW)
    assert sealed == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "alias/a",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": "2026-02-01T23:59:58Z",
    }
    assert wishes_of(target(), now=NOW) == {}


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8), st.booleans())
def test_an_object_is_made_of_its_entries_alone(bodies: list[bytes], zips: bool) -> None:
    name, content = object_of(batch(*bodies), zips=zips)
    assert (name, content) == object_of(batch(*bodies), zips=zips)
    assert isinstance(content.body, bytes)
    assert not zips or content.body[4:8] == bytes(4), "without the time of its making (RFC 1952, 2.3.1)"
    lines = gzip.decompress(content.body) if zips else content.body
    assert lines == b"".join(body + b"\n" for body in bodies)
    assert object_of(batch(*bodies, b"more"), zips=zips)[0] != name
    assert object_of(batch(*bodies[:-1], b"x" * 21), zips=zips)[0] != name


def test_names_of_objects_sort_as_their_entries_do() -> None:
    made = [object_of(batch(b"{}", first=first), zips=True)[0] for first in (0, 9, 10, 99, 10**15)]
    assert made == sorted(made)
    assert made[0].startswith("2026/01/31/0000000000000000-0000000000000000-")


@pytest.mark.parametrize(
    ("status", "code", "person"),
    [
        (500, "InternalError", False), (503, "SlowDown", False), (503, None, False), (502, None, False),
        (429, None, False), (408, None, False), (400, "RequestTimeout", False), (400, "BadDigest", False),
        (400, "XAmzContentSHA256Mismatch", False), (409, "ConditionalRequestConflict", False),
        (501, "NotImplemented", True), (403, "AccessDenied", True), (403, "RequestTimeTooSkewed", True),
        (403, None, True), (404, "NoSuchBucket", True), (301, "PermanentRedirect", True), (307, None, True),
        (400, "InvalidRequest", True), (412, "PreconditionFailed", False),
    ],
)  # fmt: skip
def test_a_refusal_is_tried_again_or_needs_a_person(status: int, code: str | None, person: bool) -> None:
    body = b"" if code is None else b"<Error><Code>%s</Code><Message>m</Message></Error>" % code.encode()
    found = refusal(status, body)
    assert (found.needs_person, found.is_there) == (person, status == 412)
    assert str(found).startswith(f"the storage answered {status}")
    assert (code or "") in str(found)


def test_a_refusal_repeats_nothing_of_the_request() -> None:
    body = (
        b"<Error><Code>SignatureDoesNotMatch</Code><Message>signature abc</Message><StringToSign>AWS4 x</StringToSign>"
        b"<SignatureProvided>abc</SignatureProvided><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>"
    )
    assert str(refusal(403, body)) == (
        "the storage answered 403 SignatureDoesNotMatch: the secret does not belong to the access key"
    )
    wrong = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
    assert str(refusal(400, wrong)).endswith(
        "AuthorizationHeaderMalformed: the bucket is in another region (eu-central-1)"
    )
    assert str(refusal(400, b"<Code><b>x</b></Code>")) == "the storage answered 400"


def test_the_published_example_of_a_signed_put_is_signed_alike() -> None:
    """Amazon S3 API Reference, "Signature Calculations for the Authorization Header", example PUT Object."""
    access = Access("us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    whole = signed(
        access, method="PUT", path="/test%24file.text", headers=headers, at=datetime(2013, 5, 24, tzinfo=UTC),
        body_sha256="44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    )  # fmt: skip
    assert whole["authorization"].endswith(
        "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, "
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )
    assert "wJalrXUtnFEMI" not in str(whole)
    assert "wJalrXUtnFEMI" not in repr(access)


def test_the_published_example_of_a_signed_get_is_signed_alike() -> None:
    """The same page, example GET Object."""
    access = Access("us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    whole = signed(
        access, method="GET", path="/test.txt", headers=headers, at=datetime(2013, 5, 24, tzinfo=UTC),
        body_sha256=EMPTY_SHA256,
    )  # fmt: skip
    assert whole["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_a_path_is_signed_as_it_is_sent() -> None:
    access = Access("us-east-1", "A", "s")

    def signature(path: str) -> str:
        headers = {"host": "s3.example.com"}
        return signed(access, method="GET", path=path, headers=headers, at=NOW, body_sha256=EMPTY_SHA256)[
            "authorization"
        ]

    assert len({signature(path) for path in ("/b/c", "/b//c", "/b/./c", "/b/%63", "/b/x/../c")}) == 5


@pytest.mark.parametrize(
    ("age", "ends", "seconds", "waits"),
    [(0, 10, 60, 60), (59, 10, 60, 1), (60, 10, 60, None), (0, 10, 0, None), (0, 9, 60, None), (-500, 10, 60, 60)],
)
def test_a_batch_that_could_grow_waits_until_its_first_entry_is_old(
    age: int, ends: int, seconds: int, waits: int | None
) -> None:
    places = [Place(4, 1, NOW - timedelta(seconds=age)), Place(5, 1, NOW)]
    until = sinks.rests_until(places, ends=ends, end=10, batch_seconds=seconds, now=NOW)
    assert until == (None if waits is None else NOW + timedelta(seconds=waits))
    assert sinks.rests_until([], ends=10, end=10, batch_seconds=60, now=NOW) is None
