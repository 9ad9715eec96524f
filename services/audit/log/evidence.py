"""The evidence of one leaf as a file (C2SP tlog-proof): its place, its inclusion proof, and the checkpoint it leads to."""

import base64
from collections.abc import Sequence

HEADER = "c2sp.org/tlog-proof@v1"
MEDIA_TYPE = "text/plain; charset=utf-8"


def proof_text(*, index: int, proof: Sequence[bytes], checkpoint: str) -> str:
    """The text of a `.tlog-proof`; `checkpoint` is the signed note of the tree that the proof is for."""
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
    return f"{HEADER}\nindex {index}\n{hashes}\n{checkpoint}"
