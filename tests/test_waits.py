"""How often the host waits for a GPU, counted on a simulated one, and that what is computed there is the same."""

import functools
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated_gpu import OnDevice, SimulatedGPU

from detection.config.schema import ModelConfig, RoIConfig, RPNConfig
from detection.engine.callback import Callback
from detection.engine.learning_rate import LearningRate
from detection.engine.length import Length
from detection.engine.loop import Loop
from detection.engine.loop_settings import LoopSettings
from detection.engine.optimizer import build_optimizer
from detection.engine.state import TrainingState
from detection.model.build import build_model
from detection.predict.detector import Detector
from detection.predict.improved import ImprovedDetector, Improvements
from detection.predict.prepare import prepare
from detection.records import Batch, Target
from detection.training.detector import DetectionObjective
from detection.transfer import on_host

NAMES = ("disc", "box", "star")
OBJECTS = [
    Target(torch.tensor([[5.0, 8, 60, 50], [30, 20, 90, 62]]), torch.tensor([0, 2]), torch.zeros(0, 4)),
    Target(torch.tensor([[10.0, 10, 40, 70]]), torch.tensor([1]), torch.tensor([[0.0, 0, 30, 30]])),
]
EVERYTHING = Improvements(refine=True, vote=True, scales=(48, 64, 96), flip=True)


def model_of(architecture="fpn", giou=False, **settings):
    rpn = RPNConfig(train_before_nms=200, train_after_nms=50, test_before_nms=200, test_after_nms=30)
    roi = RoIConfig(hidden=16, batch_per_image=32, detections=20, sampling_ratio=1)
    if giou:
        rpn, roi = replace(rpn, box_loss="giou"), replace(roi, box_loss="giou")
    backbone = {"fpn": "resnet18", "c4": "resnet50", "dc5": "resnet18"}[architecture]
    plain = ModelConfig(architecture, backbone, weights=None, norm="frozen", width=8, fpn_channels=16, rpn=rpn, roi=roi)
    torch.manual_seed(0)
    return build_model(replace(plain, **settings), len(NAMES))


def batch_of(count) -> Batch:
    images = torch.randint(0, 256, (count, 3, 80, 96), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    sizes, targets = ([kinds[i % 2] for i in range(count)] for kinds in ([(64, 96), (80, 50)], OBJECTS))
    return Batch(images, sizes, [(160, 192)] * count, list(range(count)), targets, seeds=list(range(count)))


def steps_of(gpu, model, batches, **changes) -> Loop:
    """The loop that has trained on the batches, with the waits of the last one."""
    settings = {"splits": 1, "seed": 0, "clip": None, "amp": "off"}
    settings |= {"log_every": 100, "evaluate_every": 100, "checkpoint_every": 100, "metric": "AP", "patience": None}
    optimizer = build_optimizer(model, 0.01, 0.9, 1e-4, 0.0, 0.0)
    state = TrainingState(model, optimizer, LearningRate(0.01, Length(100)))
    objective = DetectionObjective(None, gpu.device, NAMES)
    loop = Loop(state, objective, LoopSettings(**settings | changes), lambda name, state: None, Callback())
    for batch in batches:
        gpu.forget()
        loop._step(iter([batch.pin_memory()]))
    return loop


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (70, 111, 3), dtype=np.uint8)


@pytest.mark.parametrize(("architecture", "waits"), [("fpn", 3), ("c4", 2)])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_training_step(architecture, waits, count):
    """The suppression of proposals with their number in each image, that of samples, that of a level."""
    with SimulatedGPU() as gpu:
        steps_of(gpu, gpu.place(model_of(architecture, freeze=2)), [batch_of(count)] * 2)
    assert len(gpu.waits) == waits <= 4, gpu.report()


@pytest.mark.parametrize("options", [{"giou": True}, {"class_agnostic": True}, {"norm": "batch"}, {"context": True}])
def test_a_training_step_of_other_detectors(options):
    roi = RoIConfig(hidden=16, batch_per_image=32, sampling_ratio=1)
    if "context" in options or "class_agnostic" in options:
        options = {"roi": replace(roi, **options)}
    with SimulatedGPU() as gpu:
        steps_of(gpu, gpu.place(model_of(**options)), [batch_of(2)] * 2, skip_nonfinite=3, clip=1.0)
    assert len(gpu.waits) == 3, gpu.report()


@pytest.mark.parametrize(("architecture", "waits"), [("fpn", 3), ("c4", 2)])
def test_an_image(architecture, waits):
    with SimulatedGPU() as gpu:
        detector = Detector(gpu.place(model_of(architecture)), NAMES, 64, 128, gpu.device)
        found = detector([picture()])
        assert len(found[0].boxes) == 20 and len(gpu.waits) == waits <= 3, gpu.report()
        gpu.forget()
        detector([picture(i) for i in range(8)])
    assert len(gpu.waits) == waits, gpu.report()


@pytest.mark.parametrize(
    ("improvements", "several", "waits"),
    [
        (Improvements(), False, 3),
        (Improvements(refine=True), False, 4),
        (Improvements(flip=True), False, 3),
        (Improvements(scales=(48, 64, 96)), False, 3),
        (Improvements(suppression="soft"), False, 3),
        (Improvements(suppression="wbf"), False, 3),
        (Improvements(), True, 4),
        (EVERYTHING, True, 5),
    ],
    ids=["none", "refine", "flip", "scales", "soft", "wbf", "ensemble", "everything"],
)
def test_an_image_with_improvements(improvements, several, waits):
    if improvements.suppression == "wbf" and not importlib.util.find_spec("ensemble_boxes"):
        pytest.skip("ensemble-boxes (the extra `fusion`) is not installed")
    with SimulatedGPU() as gpu:
        models = [gpu.place(model_of(name)) for name in (("fpn", "dc5") if several else ("fpn",))]
        detectors = [Detector(model, NAMES, 64, 128, gpu.device) for model in models]
        found = ImprovedDetector(detectors, improvements)([picture()])[0]
    assert len(found.boxes) == 20 and len(gpu.waits) == waits, gpu.report()


@functools.cache
def cpu_step(architecture):
    model = model_of(architecture).train()
    losses = model(batch_of(3))
    sum(losses.values()).backward()
    return model, losses


@pytest.mark.parametrize("architecture", ["fpn", "c4"])
def test_losses_and_gradients_are_those_of_the_cpu(architecture):
    on_cpu, wanted = cpu_step(architecture)
    with SimulatedGPU() as gpu:
        model = gpu.place(model_of(architecture).train())
        losses = model(batch_of(3).to(gpu.device))
        sum(losses.values()).backward()
        for name, loss in losses.items():
            assert isinstance(loss, OnDevice) and loss.item() == pytest.approx(wanted[name].item(), rel=1e-4), name
        for (name, mine), other in zip(model.named_parameters(), on_cpu.parameters()):
            assert (mine.grad is None) == (other.grad is None), name
            if other.grad is not None:
                mine_there = mine.grad.inside
                torch.testing.assert_close(mine_there, other.grad, rtol=1e-3, atol=1e-3 * other.grad.abs().max().item())


@pytest.mark.parametrize("architecture", ["fpn", "c4"])
@pytest.mark.parametrize("improvements", [None, EVERYTHING])
def test_detections_are_those_of_the_cpu(architecture, improvements):
    def look(model, device):
        detector = Detector(model, NAMES, 64, 128, device)
        images = [picture(0), picture(1)]
        return detector(images) if improvements is None else ImprovedDetector([detector], improvements)(images)

    wanted = look(model_of(architecture), torch.device("cpu"))
    with SimulatedGPU() as gpu:
        found = look(gpu.place(model_of(architecture)), gpu.device)
    for mine, other in zip(found, wanted):
        assert len(mine.boxes) == len(other.boxes) > 5
        torch.testing.assert_close(mine.boxes, other.boxes, atol=0.02, rtol=0)
        torch.testing.assert_close(mine.scores, other.scores, atol=1e-4, rtol=0)
        assert torch.equal(mine.labels, other.labels)


def test_a_network_with_batch_norm_is_prepared_where_it_lies():
    with SimulatedGPU() as gpu:
        model = prepare(gpu.place(model_of(norm="batch")))
        found = Detector(model, NAMES, 64, 128, gpu.device)([picture()])[0]
    wanted = Detector(model_of(norm="batch"), NAMES, 64, 128, torch.device("cpu"))([picture()])[0]
    torch.testing.assert_close(found.boxes, wanted.boxes, atol=0.02, rtol=0)


def test_more_candidates_than_there_is_room_for_are_fetched_by_a_second_copy(monkeypatch):
    wanted = Detector(model_of(), NAMES, 64, 128, torch.device("cpu"))([picture()])[0]
    monkeypatch.setattr("detection.model.selection.CAPACITY", 7)
    with SimulatedGPU() as gpu:
        found = Detector(gpu.place(model_of()), NAMES, 64, 128, gpu.device)([picture()])[0]
    assert len(gpu.waits) == 4, gpu.report()
    torch.testing.assert_close(found.boxes, wanted.boxes, atol=0.02, rtol=0)


def test_apples_gpu_sees_no_float64():
    """It has none; what computes in it does so on the host."""
    with SimulatedGPU("mps", float64=False) as gpu:
        with pytest.raises(TypeError, match="mps has no float64"):
            torch.ones(2, dtype=torch.float64).to(gpu.device)
        steps_of(gpu, gpu.place(model_of(giou=True)), [batch_of(2)], skip_nonfinite=1, clip=1.0)
        detectors = [Detector(gpu.place(model_of(name)), NAMES, 64, 128, gpu.device) for name in ("fpn", "dc5")]
        assert len(ImprovedDetector(detectors, EVERYTHING)([picture()])[0].boxes) == 20


WAITING = {
    "a number": lambda x: x.sum().item(),
    "a comparison": lambda x: bool((x > 2).any()),
    "a list": lambda x: x.tolist(),
    "the host": lambda x: x.cpu(),
    "the host unasked": lambda x: torch.zeros(4).copy_(x),
    "a mask": lambda x: x[x > 2],
    "a mask to fill by": lambda x: x.__setitem__(x > 2, x[:1]),
    "a place": lambda x: x[x.argmax()],
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 2),
    "selected": lambda x: x.masked_select(x > 2),
    "unique": lambda x: x.unique(),
    "bins": lambda x: x.long().bincount(minlength=9),
    "repeats": lambda x: x.repeat_interleave(x.long()),
    "equal": lambda x: torch.equal(x, x),
    "close": lambda x: torch.allclose(x, x),
    "constants": lambda x: torch.tensor([1.0, 2], device=x.device),
    "more constants": lambda x: x.new_tensor([1.0, 2]),
    "pageable memory": lambda x: torch.ones(2).to(x.device, non_blocking=True),
    "pinned memory, blocking": lambda x: torch.ones(2).pin_memory().to(x.device),
    "suppression": lambda x: torch.ops.torchvision.nms(x.expand(3, 4), x[:3], 0.5),
}
FLOWING = {
    "arithmetic": lambda x: (x * 2 + 1).softmax(0).cumsum(0).sort().values[:2],
    "filling by a mask": lambda x: x.clone().masked_fill_(x > 2, 0.0).add_(torch.where(x > 2, x, 0.0)),
    "a number by a mask": lambda x: x.clone().__setitem__(x > 2, 0.0),
    "places": lambda x: x[x.argsort()].index_select(0, x.topk(2).indices),
    "made there": lambda x: torch.arange(3, device=x.device) + torch.full((), 7, device=x.device) + x.new_zeros(3),
    "pinned memory": lambda x: torch.ones(2).pin_memory().to(x.device, non_blocking=True),
    "random": lambda x: torch.randperm(9, device=x.device, generator=torch.Generator(x.device).manual_seed(1)),
}


@pytest.mark.parametrize("name", [*WAITING, *FLOWING])
def test_the_counter_knows_what_waits(name):
    with SimulatedGPU() as gpu:
        x = torch.arange(4.0, device=gpu.device)
        (WAITING | FLOWING)[name](x)
    assert bool(gpu.waits) == (name in WAITING), gpu.report()


def test_the_simulated_device_keeps_its_memory_apart():
    with SimulatedGPU() as gpu:
        x = torch.arange(4.0, device=gpu.device)
        assert x.device == gpu.device and x.is_cuda and (x + 1).device == gpu.device
        with pytest.raises(RuntimeError, match="tensors on cuda:0 and on cpu"):
            x + torch.ones(4)
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            x.numpy()


def test_several_tensors_go_to_the_host_in_one_copy():
    with SimulatedGPU() as gpu:
        given = [torch.tensor(True), torch.rand(3, 2), torch.arange(5), torch.zeros(0, 4), torch.ones(2).half()]
        for mine, other in zip(on_host(*[t.to(gpu.device) for t in given]), given):
            assert not isinstance(mine, OnDevice) and mine.dtype == other.dtype and torch.equal(mine, other)
    assert [what for what, _ in gpu.waits].count("to to the host") == 1
