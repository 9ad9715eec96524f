"""Reading a process's own metrics: Prometheus samples before and after, and a quantile of what lies between."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import Program


async def samples_of(program: Program) -> dict[str, float]:
    """Every sample that the process exposes now, by name and labels as they are written."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{program.environment['REEVE_METRICS_PORT']}") as http:
        text = (await http.get("/metrics")).text
    return {
        _written(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def quantile_bound(before: Mapping[str, float], after: Mapping[str, float], name: str, share: float) -> float:
    """The smallest bucket bound of a histogram, in its unit, below which this share of the new observations lies."""
    total = after[f"{name}_count"] - before.get(f"{name}_count", 0.0)
    beginning = f'{name}_bucket{{le="'
    bounds = sorted(
        (float(key.removeprefix(beginning).removesuffix('"}')), value - before.get(key, 0.0))
        for key, value in after.items()
        if key.startswith(beginning)
    )
    return next(bound for bound, count in bounds if count >= share * total)


def _written(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inner}}}" if inner else name
