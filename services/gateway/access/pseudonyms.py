"""What an identity of another issuer is called once its owner's data was erased. Pure."""

import hmac
from hashlib import sha256

PREFIX = "erased:"


def pseudonym_of(secret: bytes, issuer: str, subject: str) -> str:
    """`erased:` and 64 hexadecimal digits: an HMAC-SHA256 (RFC 2104) of both under a secret of the gateway.

    It says nothing of the subject to whoever lacks the secret, however few subjects there are to guess; yet the subject
    is known again when it comes back. Neither text can hold a NUL, so no two pairs are one.
    """
    said = f"reeve identity v1\0{issuer}\0{subject}".encode("utf-8", "surrogatepass")
    return PREFIX + hmac.new(secret, said, sha256).hexdigest()


def names_of(secret: bytes, issuer: str, subject: str) -> tuple[str, str]:
    """By what an identity is found: its own name, and the one that it has if it was erased."""
    return subject, pseudonym_of(secret, issuer, subject)
