"""An RFC 3161 time-stamper over HTTP (3.4): it says when a note was there, in a token that needs nobody's trust in us.

The answer is verified before it counts: granted, to our nonce, over the SHA-256 of the note's bytes, by a certificate for time stamping that
leads to one of the configured roots.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.x509 import Certificate, load_pem_x509_certificates

from libs.common.egress.destinations import Network, check_address, literal
from libs.common.errors import ConfigError
from services.audit.anchors.anchor import Anchored, AnchorFailed
from services.audit.anchors.asking import asking, content_of

WHO = "the time-stamper"
SECONDS = 15.0
MOST_ANSWER_BYTES = 64 * 1024
QUERY = "application/timestamp-query"


class TimestampAnchor:
    """Has each head stamped."""

    name = "timestamper"

    def __init__(
        self, url: str, roots: list[Certificate], *, allowed: Sequence[Network] = (), seconds: float = SECONDS
    ) -> None:
        self._url = url
        self._roots = roots
        self._allowed = allowed
        self._seconds = seconds

    async def keep(self, *, size: int, note: str) -> Anchored:
        """The verified answer, in DER: what `openssl ts -verify -in` reads."""
        # Imported where it is used: a service that has nothing stamped pays nothing.
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415

        request = TimestampRequestBuilder().data(note.encode()).hash_algorithm(HashAlgorithm.SHA256).build()
        answer = await self._ask(request.as_bytes())
        self._verify(request.nonce, answer, note.encode())
        return Anchored(answer)

    async def _ask(self, query: bytes) -> bytes:
        headers = {"content-type": QUERY}
        async with asking(
            self._url, query, headers=headers, who=WHO, allowed=self._allowed, seconds=self._seconds, judge=_check
        ) as answer:
            if answer.status != 200:
                raise AnchorFailed(f"{WHO} answered {answer.status}")
            return await content_of(answer, most=MOST_ANSWER_BYTES, who=WHO)

    def _verify(self, nonce: int | None, answer: bytes, message: bytes) -> None:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response  # noqa: PLC0415

        verifier = VerifierBuilder(roots=list(self._roots), nonce=nonce).build()
        try:
            verifier.verify_message(decode_timestamp_response(answer), message)
        except VerificationError as error:
            raise AnchorFailed(f"the time-stamper's answer does not hold: {error}") from error
        except Exception as error:
            # Certificates of somebody else can be wrong in ways of their own, and none of them may end this service.
            raise AnchorFailed(f"the time-stamper's answer cannot be read: {type(error).__name__}") from error


def _check(url: str, allowed: Sequence[Network]) -> None:
    """Judge an address that the URL spells out. Plain HTTP is usual here: what is answered is signed."""
    host = urlsplit(url).hostname or ""
    if (address := literal(host)) is not None:
        check_address(address, host=host, allowed=allowed)


def roots_of(path: Path) -> list[Certificate]:
    """The certificates of a PEM file. Raises `ConfigError`."""
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"REEVE_AUDIT_ANCHOR_TSA_ROOTS: {path} has no certificates in PEM") from error
