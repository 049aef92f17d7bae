"""Logs and metrics. One rich event for each operation; nothing personal and nothing secret in either."""

import logging
import os
import sys
from typing import Any

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("loyalty_requests_total", "Requests answered.", ["route", "status"])
SECONDS = Histogram(
    "loyalty_request_seconds",
    "Time from the first byte of a request to its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
BATCH_SIZE = Histogram(
    "loyalty_batch_commands", "Commands committed together.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
QUEUE_DEPTH = Gauge("loyalty_waiting_commands", "Commands waiting in the lanes.", multiprocess_mode="livesum")


def configure_logging(level: str = "info", *, human: bool = False) -> None:
    """Write JSON lines to standard output, or coloured text for people."""
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    minimum = logging.getLevelNamesMapping()[level.upper()]
    if human:
        structlog.configure(
            processors=[*processors, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
            wrapper_class=structlog.make_filtering_bound_logger(minimum),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            *processors,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


def is_multiprocess() -> bool:
    """Whether several processes of this server share their metrics (through PROMETHEUS_MULTIPROC_DIR)."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
