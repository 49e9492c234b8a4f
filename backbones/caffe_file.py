"""Files of Caffe, `.caffemodel` and `.binaryproto`: messages of protocol buffers, of which few fields matter here.

A message is a run of fields: a number with the kind of what follows, then a number, or a length and so many bytes
(https://protobuf.dev/programming-guides/encoding). Numbers of fields are those of caffe.proto, of both versions of
its layers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

ENDING = ".caffemodel"
LAYERS = {100: (1, 7), 2: (4, 6)}
"""Field of a net that holds a layer, in the present version and that of 2014 -> fields of its name and of its blobs."""
SHAPE, NUMBERS, DOUBLES, OLD_SHAPE = 7, 5, 8, (1, 2, 3, 4)
"""Fields of a blob."""


def read_layers(path: Path) -> dict[str, list[Tensor]]:
    """Layer -> its blobs, float32, of those layers that have any. Raises ValueError for a file that is none of Caffe's
    nets, or cut off."""
    layers: dict[str, list[Tensor]] = {}
    for number, value in _fields(memoryview(path.read_bytes())):
        if number not in LAYERS or isinstance(value, int):
            continue
        name_field, blob_field = LAYERS[number]
        name, blobs = "", []
        for inner, content in _fields(value):
            if isinstance(content, int):
                continue
            if inner == name_field:
                name = _text(content)
            elif inner == blob_field:
                blobs.append(_blob(content))
        if blobs:
            layers[name] = blobs
    if not layers:
        raise ValueError("it is no net of Caffe's with weights")
    return layers


def _text(content: memoryview) -> str:
    try:
        return bytes(content).decode()
    except UnicodeDecodeError as error:
        raise ValueError("a layer's name is no text; it is damaged") from error


def _blob(content: memoryview) -> Tensor:
    shape: list[int] | None = None
    old, numbers = dict.fromkeys(OLD_SHAPE, 0), torch.zeros(0)
    for number, value in _fields(content):
        if isinstance(value, int):
            if number in old:
                old[number] = value
        elif number == SHAPE:
            shape = [side for n, packed in _fields(value) if n == 1 for side in _integers(packed)]
        elif number in (NUMBERS, DOUBLES):
            kind = torch.float32 if number == NUMBERS else torch.float64
            if len(value) % kind.itemsize:
                raise ValueError("a blob ends within a number; it is cut off or damaged")
            if len(value):
                numbers = torch.frombuffer(bytearray(value), dtype=kind).float()
    shape = list(old.values()) if shape is None else shape
    if math.prod(shape) != len(numbers):
        raise ValueError(f"a blob of shape {tuple(shape)} has {len(numbers)} numbers; it is cut off or damaged")
    return numbers.reshape(shape)


def _integers(packed: memoryview | int) -> list[int]:
    if isinstance(packed, int):
        return [packed]
    found, place = [], 0
    while place < len(packed):
        value, place = _varint(packed, place)
        found.append(value)
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(number, bytes or integer) of every field; floats that stand alone come as the integer of their bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("it is no net of Caffe's, or damaged")
        if length > len(message) - place:
            raise ValueError("it is no net of Caffe's, or cut off")
        content = message[place : place + length]
        place += length
        yield number, content if kind == 2 else struct.unpack("<Q" if kind == 1 else "<I", content)[0]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The integer at `place`, seven bits a byte, the lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("it is no net of Caffe's, or cut off")
