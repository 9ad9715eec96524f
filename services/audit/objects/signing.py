"""Signs requests by AWS Signature Version 4, with AWS's own signer (`awscrt`); the connection stays ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Access:
    """A pair of keys, and the region for which requests are signed."""

    region: str
    key_id: str
    secret: str = field(repr=False)


def signed(
    access: Access, *, method: str, path: str, headers: Mapping[str, str], body_sha256: str, at: datetime
) -> dict[str, str]:
    """All headers of the request, `authorization`, `x-amz-date` and `x-amz-content-sha256` among them.

    `path` is encoded already and signed as it is; `headers` hold `host` and all that is to be signed; `body_sha256` is
    the hash of the body in hex.
    """
    # Imported where it is used: a service that sends nothing to such storage pays nothing.
    from awscrt import auth, http  # noqa: PLC0415

    request: Any = http.HttpRequest(method, path, http.HttpHeaders(list(headers.items())))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(access.key_id, access.secret),
        region=access.region,
        service="s3",
        date=at,
        # Of all services S3 alone signs paths as they are sent.
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
        signed_body_value=body_sha256,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    # Keys that are given need nobody to be asked: the answer is there at once, without a thread.
    done = auth.aws_sign_request(request, config).result(timeout=5)
    return {name.lower(): value for name, value in done.headers}
