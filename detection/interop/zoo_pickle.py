"""detectron2's model-zoo files: pickles, which run what the file says when they are unpickled in the usual way.

Here a file may rebuild numeric arrays and nothing else: the functions of numpy that a pickle names are stood in for by
the few lines below, so that neither code nor numpy's own unpickling, which trusts what it reads, sees the file.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError

LARGEST = 4 << 30
"""bytes of a file; the largest of the zoo has 400 MB"""


class _Dtype:
    """In the place of `numpy.dtype`: numbers of 1 to 8 bytes, in either byte order."""

    def __init__(self, code: str, *_: object) -> None:
        numeric = isinstance(code, str) and re.fullmatch(r"f[248]|[iu][1248]|b1", code)
        self.dtype = np.dtype(code) if numeric else None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if self.dtype is not None and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """In the place of the array that `_reconstruct` makes: read-only, over the very bytes of the file."""

    array: np.ndarray | None = None
    """None where it is not numeric"""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if isinstance(kind, _Dtype) and kind.dtype is not None:
            self.array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How protocols 0 to 2 spell bytes."""
    return text.encode("latin1")


STAND_INS: dict[tuple[str, str], Any] = {
    # files written by numpy 1 and numpy 2 name the same function differently
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): None,  # an argument only
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle._Unpickler):
    """The unpickler in Python: the one in C makes room for as many memory slots as a file says it has."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise _Refused(f"{module}.{name}")
        return STAND_INS[module, name]


class _Refused(pickle.UnpicklingError):
    """Carries the global that a file asked for."""


def read_zoo_pickle(path: Path | str) -> dict[str, np.ndarray]:
    """name -> array of a detectron2 model-zoo `.pkl`: a dict of arrays, or one under the key `model`.

    Raises InputError, naming the file, where it asks for any global that arrays do not need (naming that global), is
    no pickle, or holds anything but numeric arrays under names.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: is larger than {LARGEST >> 30} GiB; give a detectron2 .pkl file")
        # Caffe2-era files come from Python 2, whose strings are bytes here unless read as latin-1
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except InputError:
        raise
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
    arrays = {}
    for name, value in weights.items():
        array = value.array if isinstance(value, _Array) else None
        if not isinstance(name, str) or array is None:
            shown = repr(name) if isinstance(name, str) else "an entry"
            raise InputError(f"{path}: {shown} is no numeric array; use a file from the detectron2 model zoo")
        arrays[name] = array
    return arrays
