import copy

import pytest
import torch

from backbones import winograd
from detection.config.schema import ModelConfig, RoIConfig
from detection.model.build import build_model
from detection.predict.prepare import prepare
from detection.records import Batch

CONFIGS = {
    "fpn": ModelConfig("fpn", "resnet18", None, "frozen", width=8, fpn_channels=16, roi=RoIConfig(hidden=32)),
    "batch norm": ModelConfig("fpn", "resnet50", None, "batch", width=4, fpn_channels=8, roi=RoIConfig(hidden=16)),
    "group norm": ModelConfig("fpn", "resnet18", None, "group", width=8, fpn_channels=16, roi=RoIConfig(hidden=32)),
    "c4": ModelConfig("c4", "resnet50", None, "frozen", width=4, stride_in_1x1=True),
    "context": ModelConfig("c4", "resnet50", None, "frozen", width=4, roi=RoIConfig(context=True)),
    "dc5": ModelConfig("dc5", "resnet50", None, "frozen", width=4, roi=RoIConfig(hidden=16)),
    "vgg16": ModelConfig("vgg16", "vgg16", None, width=4),
}


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_prepared_finds_the_same(name, monkeypatch):
    monkeypatch.setattr(winograd, "CHANNELS", 8)
    torch.manual_seed(0)
    model = build_model(CONFIGS[name], 3).eval()
    for key, buffer in model.named_buffers():
        if key.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif key.endswith("running_mean"):
            buffer.normal_(std=0.1)
    model.rpn.head.objectness.weight.normal_(std=0.3)
    model.roi_stage.predictor.scores.weight.normal_(std=0.3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    sizes = [(96, 128), (90, 100)]
    batch = Batch(torch.randint(0, 256, (2, 3, 96, 128)).to(torch.uint8), sizes, sizes, [0, 1])
    serving = prepare(model)
    for expected, found in zip(model(batch), serving(batch)):
        assert len(expected.boxes)
        own = (expected.boxes[:, None] - found.boxes).abs().amax(2).argmin(1)  # equal scores may stand either way round
        torch.testing.assert_close(found.boxes[own], expected.boxes, atol=0.1, rtol=0)
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert not any(p.requires_grad for p in serving.parameters())


def test_compiled_serves_many_sizes_by_few_compilations_and_its_copies_are_not_compiled(monkeypatch):
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph.forward

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, dynamic: compiler(run, dynamic=dynamic, backend=backend))
    torch.manual_seed(0)
    model = build_model(CONFIGS["fpn"], 3).eval()
    serving, plain = prepare(model, compiled=True), prepare(model)
    plain.size_multiple = serving.size_multiple
    with torch.inference_mode():
        for size in [(200, 130), (130, 260), (150, 200), (190, 190), (260, 200), (320, 250), (250, 320)]:
            batch = Batch(torch.randint(0, 256, (1, 3, *size)).to(torch.uint8), [size], [size], [0])
            for mine, other in zip(serving.maps(batch), plain.maps(batch), strict=True):
                torch.testing.assert_close(mine, other)
        assert 1 <= len(compilations) <= 3, "a new image size must not compile again"
        compilations.clear()
        copied = copy.deepcopy(serving)
        copied.backbone.conv1.weight.zero_()
        assert not torch.equal(copied.maps(batch)[0], serving.maps(batch)[0]) and not compilations
