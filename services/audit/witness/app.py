"""The witness's composition root."""

from libs.common.errors import ConfigError
from libs.common.keys import load_or_create_ed25519
from libs.common.web.app import create_app
from libs.common.web.errors import Problem
from libs.common.web.middleware import Limits
from libs.common.web.service import Service
from services.audit.log.cosignatures import WitnessKey
from services.audit.witness.config import Config
from services.audit.witness.records import Records
from services.audit.witness.requests import MOST_REQUEST_BYTES
from services.audit.witness.routes import TEXT_TYPE, router
from services.audit.witness.witness import Witness

NAME = "audit-witness"
KEY = "witness.key"
VERSION = "0.1.0"


def verifier_key(config: Config) -> WitnessKey:
    """The public half of its key; makes a key where there is none."""
    private = load_or_create_ed25519(config.witness_dir / KEY)
    return WitnessKey(config.witness_name, private.public_key().public_bytes_raw())


def start(config: Config) -> Service:
    """The witness, which has its folder alone from here on. Raises `ConfigError`."""
    if not config.logs:
        raise ConfigError('REEVE_WITNESS_LOGS: must be a JSON list of the verifier keys of logs: ["name+01234567+..."]')
    key = verifier_key(config)
    records = Records(config.witness_dir, key)
    records.lock()
    witness = Witness(key, load_or_create_ed25519(config.witness_dir / KEY), config.logs, records)
    witness.look_back()
    app = create_app(
        service=NAME,
        title="Reeve audit witness",
        version=VERSION,
        checks={},
        error_shapes={"/": _line},
        limits=Limits(body_bytes=MOST_REQUEST_BYTES),
    )
    app.state.witness = witness
    app.include_router(router)

    async def close() -> None:
        records.unlock()

    return Service(name=NAME, app=app, close=close)


def _line(problem: Problem) -> tuple[bytes, str]:
    """An error as one line of text: whoever speaks this protocol reads nothing else."""
    return f"{problem.detail['message']}\n".encode(), TEXT_TYPE
