"""What the storage's answers mean: whether to try again, and what a person reads who must mend it; pure."""

import re
from collections.abc import Mapping

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_REGION = re.compile(rb"<Region>\s*([a-z0-9-]{1,64})\s*</Region>")
_TRIED_AGAIN = frozenset(
    {"BadDigest", "XAmzContentSHA256Mismatch", "RequestTimeout", "IncompleteBody", "OperationAborted"}
)
"""Refusals below 500 that the same request may well escape: bytes that changed on their way, or came too slowly."""
_NEVER = 501
_ADVICE: Mapping[str, str] = {
    "AccessDenied": "the access key may not do this in the bucket",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
    "InvalidAccessKeyId": "the storage does not know the access key",
    "InvalidRequest": "the storage does not do what was asked, such as a lock in a bucket without object lock",
    "NoSuchBucket": "there is no such bucket",
    "NotImplemented": "the storage does not know what was asked, such as a lock or encryption",
    "PermanentRedirect": "the bucket is at another endpoint",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off the storage's",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
    "SlowDown": "it wants fewer requests",
}


class StorageFailed(Exception):
    """An object was not written or read. The message has no secret in it and is shown to administrators.

    `needs_person` where trying again alone will not help; `is_there` where the name is taken and nothing is replaced.
    """

    def __init__(
        self, message: str, *, status: int = 0, needs_person: bool = False, retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.needs_person = needs_person
        self.retry_after = retry_after

    @property
    def is_there(self) -> bool:
        """Whether the storage kept an object that it has (412, RFC 9110, 15.5.13)."""
        return self.status == 412


def refusal(status: int, body: bytes, *, retry_after: str | None = None) -> StorageFailed:
    """What an answer other than 2xx says. Of its text only the code is repeated: the rest may quote the request."""
    code = _found(_CODE, body)
    text = f"the storage answered {status}"
    if code is not None:
        advice = _ADVICE.get(code)
        text += f" {code}: {advice}" if advice else f" {code}"
    region = _found(_REGION, body)
    if region is not None:
        text += f" ({region})"
    return StorageFailed(text, status=status, needs_person=needs_person(status, code), retry_after=retry_after)


def needs_person(status: int, code: str | None) -> bool:
    """Whether somebody must change something: all below 500 but what asks for time, and what is not implemented."""
    if code in _TRIED_AGAIN or status in {408, 409, 412, 425, 429}:
        return False
    return status < 500 or status == _NEVER


def _found(pattern: re.Pattern[bytes], body: bytes) -> str | None:
    match = pattern.search(body)
    return match[1].decode("ascii") if match is not None else None
