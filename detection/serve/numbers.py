"""What a service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from detection.serve.batching import Batcher

SIZES = (1, 2, 4, 8, 16, 32)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Numbers:
    """Requests by path and status with their seconds; of each model images, batches, seconds of computing, and how many
    images are here now."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Counter("frcnn_requests", "Requests that were answered.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "frcnn_request_seconds", "From request to answer.", ["path"], buckets=SECONDS, registry=own
        )
        self._images = Counter("frcnn_images", "Images that were computed.", ["model"], registry=own)
        self._batches = Histogram("frcnn_batch_images", "Images in a batch.", ["model"], buckets=SIZES, registry=own)
        self._computing = Histogram("frcnn_compute_seconds", "Of a batch.", ["model"], buckets=SECONDS, registry=own)
        self._present = Gauge("frcnn_images_present", "Images that wait or are computed.", ["model"], registry=own)

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def told(self, model: str) -> Callable[[int, float], None]:
        """For the batches of a model."""
        images, batches = self._images.labels(model), self._batches.labels(model)
        computing = self._computing.labels(model)

        def tell(count: int, seconds: float) -> None:
            images.inc(count)
            batches.observe(count)
            computing.observe(seconds)

        return tell

    def watch(self, model: str, batcher: Batcher) -> None:
        self._present.labels(model).set_function(lambda: batcher.present)

    def text(self) -> bytes:
        return generate_latest(self.registry)
