"""Image classification networks that detectors stand on. Knows only torch."""
