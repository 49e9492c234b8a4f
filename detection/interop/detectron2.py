"""detectron2's model-zoo files.

They are pickles, and unpickling runs what the file says; here a file may rebuild numpy arrays and nothing else.
"""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError

ALLOWED_GLOBALS = {
    # files written by numpy 1 and numpy 2 name the same function differently
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    # how protocols 0 to 2 spell bytes
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED_GLOBALS:
            raise _Refused(f"{module}.{name}")
        if module.startswith("numpy.core") and np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            module = module.replace("numpy.core", "numpy._core")
        elif module.startswith("numpy._core") and np.lib.NumpyVersion(np.__version__) < "2.0.0":
            module = module.replace("numpy._core", "numpy.core")
        return getattr(importlib.import_module(module), name)


class _Refused(pickle.UnpicklingError):
    """Carries the global that a file asked for."""


def read_zoo_pickle(path: Path | str) -> dict[str, np.ndarray]:
    """name -> array of a detectron2 model-zoo `.pkl`: a dict of arrays, or one under the key `model`.

    Raises InputError, naming the file, where it asks for any global that arrays do not need (naming that global), is
    no pickle, or holds anything but numeric arrays under names.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            # Caffe2-era files come from Python 2, whose strings are bytes here unless read as latin-1
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a detectron2 .pkl file") from error
    except _Refused as error:
        raise InputError(
            f"{path}: refused, it asks for {error}, which weights do not need and which may run code; "
            "use a file from the detectron2 model zoo"
        ) from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(
            f"{path}: not a detectron2 weights file ({type(error).__name__}); download it again"
        ) from error
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"{path}: holds no dict of weights; use a file from the detectron2 model zoo")
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            raise InputError(f"{path}: {name!r} is no numeric array; use a file from the detectron2 model zoo")
    return weights
