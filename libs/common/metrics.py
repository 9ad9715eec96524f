"""The Prometheus objects that every service shares, and the port they are served on.

Label values are bounded by design: a route is its template, a method one of the standard ones.
Hot paths bind their label children once and keep them.
"""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from libs.common.errors import ConfigError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of every duration, in seconds."""

REQUESTS = Counter("reeve_http_requests_total", "HTTP requests answered.", ("service", "route", "method", "status"))
REQUEST_SECONDS = Histogram(
    "reeve_http_request_duration_seconds",
    "Time from the request's first byte in the application to the end of the answer.",
    ("service", "route", "method"),
    buckets=SECONDS,
)
REQUESTS_IN_FLIGHT = Gauge("reeve_http_requests_in_flight", "Requests being answered now.", ("service",))
REQUESTS_SHED = Counter(
    "reeve_http_requests_shed_total", "Requests refused because too many were in flight.", ("service",)
)
STREAM_CLIENTS = Gauge("reeve_stream_clients", "Clients of live updates that are connected now.", ("service",))
STREAM_GAPS = Counter("reeve_stream_gaps_total", "Times a slow client of live updates lost frames.", ("service",))
TASK_FAILURES = Counter("reeve_task_failures_total", "Background tasks that ended by an error.", ("service", "task"))


def serve_metrics(host: str, port: int) -> Callable[[], None]:
    """Serve `GET /metrics` from a thread of its own; the answer ends it. Raises `ConfigError` for a taken port."""
    try:
        server, _ = start_http_server(port, addr=host)
    except OSError as error:
        raise ConfigError(f"REEVE_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror or error})") from error

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end
