"""Asks whether a Docker engine runs here: a command line that answers proves nothing."""

from functools import cache


@cache
def engine_answers() -> bool:
    """Whether an engine answers a ping within two seconds."""
    import docker  # type: ignore[import-untyped]
    from docker.errors import DockerException  # type: ignore[import-untyped]

    try:
        client = docker.from_env(timeout=2)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()
