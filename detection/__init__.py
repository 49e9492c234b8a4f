"""Faster R-CNN: data, model, training, evaluation and prediction.

Importing this package imports nothing heavy; take what you need from its modules.
"""

__version__ = "0.1.0"
