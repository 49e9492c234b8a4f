"""A GPU without a GPU: CPU tensors that say they lie on a device, and a record of every wait of the host for it.

    with SimulatedGPU() as gpu:
        model = gpu.place(model)
        step(model, batch.to(gpu.device))
    assert len(gpu.waits) <= 4, gpu.report()

Tensors of the device are `OnDevice`: wrappers whose operations are computed on the CPU, one by one below autograd. So
code that asks for `x.device` or `x.is_cuda` takes the way that it would take there. What makes the host wait is taken
from ATen's CUDA kernels: numbers that are read (`item`, `tolist`, `cpu`), sizes that depend on values (`nonzero`,
masks as indices, `unique`, `bincount`), copies of memory that is not pinned, and torchvision's NMS, which compacts what
it keeps with one `masked_select` (before torchvision 0.21 it copies to the host and back, one wait more). Operations
that mix both memories fail, and with `float64=False`, as on Apple's MPS, so do tensors of that type.
"""

from __future__ import annotations

import traceback
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_map_only

WAITING = {
    "_local_scalar_dense", "nonzero", "nonzero_numpy", "masked_select", "equal", "allclose", "bincount", "_unique",
    "_unique2", "unique_dim", "unique_consecutive", "is_nonzero", "nms",
}  # fmt: skip
GROUPING = ("torch/optim/sgd.py", "torch/nn/utils/clip_grad.py")
"""These group tensors by the device that lies below, here the CPU, and move a number to it."""

_open: list[SimulatedGPU] = []


def _gpu() -> SimulatedGPU:
    assert _open, "a tensor of the simulated GPU outlived it"
    return _open[-1]


class OnDevice(Tensor):
    """A tensor of the simulated device; `inside` holds its numbers."""

    inside: Tensor

    @staticmethod
    def __new__(cls, inside: Tensor) -> OnDevice:
        outside = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inside.shape,
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            requires_grad=False,
        )
        outside.inside = inside
        return outside

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return _gpu().device

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return _gpu().device.type == "cuda"

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.inside!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = OnDevice(self.inside.clone())
        memo[id(self)] = copied
        if isinstance(self, nn.Parameter):
            return nn.Parameter(copied, self.requires_grad)
        return copied.requires_grad_(self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        gpu = _gpu()
        gpu.operations += 1
        name = func._schema.name.split("::")[-1]
        gpu.note(name, args, kwargs)
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        inner_args, inner_kwargs = tree_map_only(OnDevice, lambda t: t.inside, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*inner_args, **inner_kwargs)
        found = tree_map_only(Tensor, lambda t: gpu.wrapped(t), found)
        return return_and_correct_aliasing(func, args, kwargs, found)


class SimulatedGPU(TorchFunctionMode):
    """While it is open, `device` exists. waits: what the host waited for, (what, where), since the last `forget`."""

    def __init__(self, kind: str = "cuda", float64: bool = True) -> None:
        super().__init__()
        self.device = torch.device(kind, 0)
        self.float64 = float64
        self.waits: list[tuple[str, str]] = []
        self.operations = 0
        self._pinned: dict[int, Tensor] = {}
        cpu_generator = torch.Generator
        self._generators = mock.patch("torch.Generator", lambda device="cpu": cpu_generator("cpu"))

    def __enter__(self) -> SimulatedGPU:
        _open.append(self)
        self._generators.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._generators.stop()
        _open.pop()

    def place(self, model: nn.Module) -> nn.Module:
        """The model with all parameters and buffers on the device; in place of `model.to`, which swaps memory."""
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(self.wrapped(parameter.detach()), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = self.wrapped(buffer)
        return model

    def forget(self) -> None:
        self.waits, self.operations = [], 0

    def report(self) -> str:
        return "the host waits at\n" + "\n".join(f"  {what:24} {where}" for what, where in self.waits)

    def wait(self, what: str) -> None:
        """Record it with the lines of the toolkit, or else of torch, that led to it."""
        frames = [f for f in traceback.extract_stack() if not f.filename.endswith("simulated_gpu.py")]
        own = [f for f in frames if "/detection/" in f.filename or "/backbones/" in f.filename] or frames
        self.waits.append((what, " < ".join(f"{f.filename.split('/')[-1]}:{f.lineno}" for f in own[:-4:-1])))

    def wrapped(self, found: Tensor) -> Tensor:
        if isinstance(found, OnDevice):
            return found
        if found.dtype == torch.float64 and not self.float64:
            raise TypeError(f"{self.device.type} has no float64")
        return OnDevice(found)

    def note(self, name: str, args: Any, kwargs: Any) -> None:
        """One operation with tensors of the device among its arguments."""
        tensors: list[Tensor] = []
        tree_map_only(Tensor, tensors.append, (args, kwargs))
        if name in ("copy_", "_to_copy"):
            source = args[1] if name == "copy_" else args[0]
            if not all(isinstance(t, OnDevice) for t in tensors):
                self.crossing(source, bool(args[2] if len(args) > 2 else kwargs.get("non_blocking")), "copy_")
            return
        if not all(isinstance(t, OnDevice) or t.ndim == 0 for t in tensors):
            raise RuntimeError(f"{name}: tensors on {self.device} and on cpu")
        if name in WAITING or (name == "repeat_interleave" and kwargs.get("output_size") is None):
            self.wait(name)
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            fills = name != "index" and args[2].numel() == 1 and not isinstance(args[2], OnDevice)
            if masks and not fills:
                self.wait(f"{name} by a mask")

    def crossing(self, source: Tensor, non_blocking: bool, name: str) -> None:
        """A copy between the memories. To the host one waits in any case: nobody can use it before."""
        if isinstance(source, OnDevice):
            self.wait(f"{name} to the host")
        elif not (non_blocking and id(source) in self._pinned) and source.numel():
            self.wait(f"{name} to the device")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        own = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "pin_memory" and own is not None:
            pinned = own.clone()
            self._pinned[id(pinned)] = pinned  # kept, so that its id stays its own
            return pinned
        if name == "is_pinned" and own is not None:
            return id(own) in self._pinned
        if name in ("cpu", "cuda", "to") and own is not None:
            return self._to(name, own, args[1:], kwargs)
        if name in ("tolist", "numpy", "__array__") and isinstance(own, OnDevice):
            if name != "tolist":
                raise TypeError(f"can't convert {self.device} device type tensor to numpy")
            self.wait("tolist")
            return own.inside.tolist()
        if name == "new_tensor" and isinstance(own, OnDevice):
            self.wait("new_tensor to the device")
            return self.wrapped(own.inside.new_tensor(*args[1:], **kwargs))
        device = kwargs.get("device")
        if device is None or torch.device(device).type != self.device.type or isinstance(own, OnDevice):
            return func(*args, **kwargs)
        if name in ("tensor", "as_tensor"):
            self.wait(f"{name} to the device")
        kwargs["device"] = "cpu"
        found = func(*args, **kwargs)
        requires_grad, found = found.requires_grad, self.wrapped(found.detach())
        return found.requires_grad_(requires_grad)

    def _to(self, name: str, own: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        options = dict(kwargs)
        if name != "to":
            options["device"] = "cpu" if name == "cpu" else self.device
        for value in args:
            if isinstance(value, torch.dtype):
                options["dtype"] = value
            elif isinstance(value, Tensor):
                options |= {"dtype": value.dtype, "device": value.device}
            elif isinstance(value, (str, torch.device)):
                options["device"] = value
            elif isinstance(value, bool):
                options["non_blocking"] = value
        device = options.pop("device", None)
        target = own.device.type if device is None else torch.device(device).type
        non_blocking = options.pop("non_blocking", False)
        options = {k: v for k, v in options.items() if v is not None}
        if target == own.device.type or traceback.extract_stack(limit=3)[0].filename.endswith(GROUPING):
            if options and isinstance(own, OnDevice) and options.get("dtype") == torch.float64 and not self.float64:
                raise TypeError(f"{self.device.type} has no float64")
            return Tensor.to(own, **options) if options else own
        self.crossing(own, non_blocking, "to")
        if isinstance(own, OnDevice):
            return own.inside.detach().to(**{"copy": True, **options})
        return self.wrapped(own.detach().to(**{"copy": True, **options}))
