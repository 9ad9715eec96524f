"""What an export says of itself, signed: a JWS (RFC 7515) in compact form, by Ed25519 (RFC 9864).

The payload is the manifest's JSON. Whoever has the file, the JWS and the service's public key can tell, without
Reeve, that this service wrote this file, how many rows it has and which question it answers.
"""

from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from libs.common.database.exports import ExportJob
from libs.common.events.envelope import rfc3339

FORMAT = "reeve-export/1"
ALGORITHM = "Ed25519"
TYPE = "reeve-export+json"


def manifest_of(
    job: ExportJob, *, file_name: str, rows: int, size: int, sha256: str, checkpoint: str | None
) -> dict[str, Any]:
    """The manifest. `snapshot` is where the source ended when the job began; `checkpoint` a signed note of the log."""
    return {
        "format": FORMAT,
        "export_id": str(job.id),
        "source": job.source,
        "query": job.filters,
        "options": job.options,
        "snapshot": job.ends,
        "rows": rows,
        "file": {
            "name": file_name,
            "format": job.format,
            "compression": job.compression,
            "bytes": size,
            "sha256": sha256,
        },
        "asked_by": job.owner_id,
        "asked_at": rfc3339(job.created_at),
        "checkpoint": checkpoint,
    }


class ManifestSigner:
    """Signs manifests with a service's key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        self._key = OKPKey.import_key(pem)

    def sign(self, manifest: dict[str, Any]) -> tuple[str, str]:
        """The manifest's text, and the compact JWS over exactly these bytes."""
        text = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": self._key.thumbprint()}
        return text.decode(), jws.serialize_compact(header, text, self._key, algorithms=[ALGORITHM])

    def public(self) -> dict[str, Any]:
        """The public half as a JWK (RFC 8037), named by its thumbprint (RFC 7638)."""
        return {
            **self._key.as_dict(private=False),
            "kid": self._key.thumbprint(),
            "alg": ALGORITHM,
            "use": "sig",
        }
