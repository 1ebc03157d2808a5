"""Prometheus metrics of a server, in a registry of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Numbers:
    """What is counted: requests by route and code, their seconds, pictures a run, explanations by outcome."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    sizes: Histogram
    explanations: Counter


def make_numbers(waiting: Callable[[], int], under_way: Callable[[], int]) -> Numbers:
    registry = CollectorRegistry()
    gauges = {
        "ddcam_queue_length": ("Pictures that no worker has taken yet.", waiting),
        "ddcam_pictures_under_way": ("Pictures that were let in and are not answered yet.", under_way),
    }
    for name, (text, value) in gauges.items():
        Gauge(name, text, registry=registry).set_function(value)
    return Numbers(
        registry,
        Counter("ddcam_requests", "Requests answered.", ("route", "code"), registry=registry),
        Histogram("ddcam_request_seconds", "From headers to answer.", ("route",), buckets=SECONDS, registry=registry),
        Histogram("ddcam_batch_size", "Pictures in a run.", buckets=SIZES, registry=registry),
        Counter("ddcam_explanations", "Explanations by outcome.", ("outcome",), registry=registry),
    )
