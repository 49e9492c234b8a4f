"""Nets in Caffe's files: written by the protocol buffers' own library, computed as Caffe does, and read here."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

from backbones.caffe_file import read_layers
from backbones.caffe_names import RESNET_MEAN, VGG_MEAN, read_caffe_state
from backbones.nets import make_net
from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained
from detection.cli.main import main
from detection.loading.detectors import load_detector, model_settings


def messages():
    """Caffe's NetParameter, with the fields that matter, of both versions of its layers."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    kinds = {"string": 9, "float": 2, "int64": 3}

    def add(message, *fields):
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = described.field.add(name=name, number=number, label=3 if repeated else 1, type=kinds.get(kind, 11))
            if kind not in kinds:
                field.type_name = f".caffe.{kind}"
            elif repeated and kind != "string":
                field.options.packed = True

    add("BlobShape", ("dim", 1, "int64", True))
    old = [(name, number, "int64", False) for number, name in enumerate(("num", "channels", "height", "width"), 1)]
    add("BlobProto", *old, ("data", 5, "float", True), ("shape", 7, "BlobShape", False))
    add(
        "LayerParameter",
        ("name", 1, "string", False),
        ("loss_weight", 5, "float", True),
        ("blobs", 7, "BlobProto", True),
    )
    add("V1LayerParameter", ("name", 4, "string", False), ("blobs", 6, "BlobProto", True))
    layers = [("layer", 100, "LayerParameter", True), ("layers", 2, "V1LayerParameter", True)]
    add("NetParameter", ("name", 1, "string", False), *layers)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def write(path, layers, old=False):
    """A .caffemodel of layer -> blobs; old: as of 2014, with four sides for every blob."""
    net = messages()(name="net")
    for name, blobs in layers.items():
        layer = (net.layers if old else net.layer).add(name=name)
        for blob in blobs:
            written = layer.blobs.add(data=blob.flatten().tolist())
            if old:
                sides = (1,) * (4 - blob.dim()) + tuple(blob.shape)
                written.num, written.channels, written.height, written.width = sides
            else:
                written.shape.dim.extend(blob.shape)
    path.write_bytes(net.SerializeToString())
    return path


def vgg_layers(width=4, classes=6):
    torch.manual_seed(0)
    layers, inputs = {}, 3
    for stage, (multiple, count) in enumerate(((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)), start=1):
        for number in range(1, count + 1):
            outputs = multiple * width
            weight = torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
            layers[f"conv{stage}_{number}"] = [weight / (60 if inputs == 3 else 1), torch.randn(outputs) * 0.1]
            inputs = outputs
    for name, outputs in (("fc6", 64 * width), ("fc7", 64 * width), ("fc8", classes)):
        inputs = {"fc6": 49 * 8 * width}.get(name, 64 * width)
        layers[name] = [torch.randn(outputs, inputs) * (2 / inputs) ** 0.5, torch.randn(outputs) * 0.1]
    return layers


def bgr(image, mean):
    """What Caffe's nets of the time saw of an (N, 3, H, W) RGB image of 0 to 255."""
    return image.flip(1) - torch.tensor(mean)[:, None, None]


def normalised(image, mean=IMAGENET_MEAN):
    """What nets here see."""
    return (image - torch.as_tensor(mean)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]


def caffe_vgg_maps(layers, x):
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, count + 1):
            x = F.relu(F.conv2d(x, *layers[f"conv{stage}_{number}"], padding=1))
        if stage < 5:
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    return x


def image_of(height, width):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 255


@pytest.mark.parametrize("old", [False, True])
@torch.no_grad()
def test_vgg_computes_what_caffe_does(tmp_path, old):
    layers, image = vgg_layers(), image_of(75, 100)
    path = write(tmp_path / "VGG.caffemodel", layers, old)
    net = make_net("vgg16", 6, width=4, ceil_pool=True).eval()
    expected = caffe_vgg_maps(layers, bgr(image, VGG_MEAN))
    mean = torch.tensor(VGG_MEAN).flip(0)
    net.load_state_dict(read_caffe_state(path, mean, torch.tensor(IMAGENET_STD)))
    found = net.features(normalised(image, mean))
    assert found.shape == (2, 32, 5, 7)  # 75 and 100 sixteenths rounded up
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    # With ImageNet's mean the image's edge sees other zeros: little of that is left.
    load_pretrained(net, "vgg16", str(path))
    assert (net.features(normalised(image)) - expected).abs().max() < 0.03 * expected.abs().max()


def resnet_layers(width=8, classes=6, counts=(3, 4, 6, 3), long=False):
    """ResNet-50 by the authors' names, with random statistics; long: blocks are called b1, b2 as in the deeper nets."""
    torch.manual_seed(0)
    layers = {}

    def add(name, norm, outputs, inputs, side):
        layers[name] = [torch.randn(outputs, inputs, side, side) * (1 / (side**2 * inputs)) ** 0.5]
        count = torch.tensor([2.0])
        layers[f"bn{norm}"] = [torch.randn(outputs) * 0.1 * count, (torch.rand(outputs) + 0.5) * count, count]
        layers[f"scale{norm}"] = [torch.rand(outputs) + 0.5, torch.randn(outputs) * 0.1]

    add("conv1", "_conv1", width, 3, 7)
    layers["conv1"] = [layers["conv1"][0] / 60, torch.randn(width) * 0.1]
    inputs = width
    for stage, count in enumerate(counts, start=2):
        narrow = width << (stage - 2)
        for k in range(count):
            block = f"{stage}{'a' if k == 0 else f'b{k}' if long else 'abcdef'[k]}"
            if k == 0:
                add(f"res{block}_branch1", f"{block}_branch1", narrow * 4, inputs, 1)
            parts = ("a", narrow, inputs, 1), ("b", narrow, narrow, 3), ("c", narrow * 4, narrow, 1)
            for part, outputs, taken, side in parts:
                add(f"res{block}_branch2{part}", f"{block}_branch2{part}", outputs, taken, side)
            inputs = narrow * 4
    layers["fc1000"] = [torch.randn(classes, inputs) * 0.1, torch.randn(classes)]
    return layers


def caffe_resnet(layers, x, counts=(3, 4, 6, 3), long=False):
    def unit(name, norm, x, stride, padding):
        x = F.conv2d(x, *layers[name], stride=stride, padding=padding)
        mean, variance, count = layers[f"bn{norm}"]
        x = (x - (mean / count)[:, None, None]) / ((variance / count)[:, None, None] + 1e-5).sqrt()
        scale, shift = layers[f"scale{norm}"]
        return x * scale[:, None, None] + shift[:, None, None]

    x = F.max_pool2d(F.relu(unit("conv1", "_conv1", x, 2, 3)), 3, 2, ceil_mode=True)
    for stage, count in enumerate(counts, start=2):
        for k in range(count):
            block = f"{stage}{'a' if k == 0 else f'b{k}' if long else 'abcdef'[k]}"
            stride = 2 if k == 0 and stage > 2 else 1
            beside = unit(f"res{block}_branch1", f"{block}_branch1", x, stride, 0) if k == 0 else x
            y = F.relu(unit(f"res{block}_branch2a", f"{block}_branch2a", x, stride, 0))
            y = F.relu(unit(f"res{block}_branch2b", f"{block}_branch2b", y, 1, 1))
            x = F.relu(beside + unit(f"res{block}_branch2c", f"{block}_branch2c", y, 1, 0))
    return x


@pytest.mark.parametrize("long", [False, True])
@torch.no_grad()
def test_resnet_computes_what_caffe_does(tmp_path, long):
    layers, image = resnet_layers(long=long), image_of(96, 112)
    path = write(tmp_path / "ResNet-50.caffemodel", layers)
    net = make_net("resnet50", 6, width=8, stride_in_1x1=True, ceil_pool=True).eval()
    expected = caffe_resnet(layers, bgr(image, RESNET_MEAN), long=long)
    scores = F.linear(expected.mean((2, 3)), *layers["fc1000"])
    mean = torch.tensor(RESNET_MEAN).flip(0)
    net.load_state_dict(read_caffe_state(path, mean, torch.tensor(IMAGENET_STD)), strict=False)
    torch.testing.assert_close(net(normalised(image, mean)), scores, rtol=1e-3, atol=1e-3)
    load_pretrained(net, "resnet50", str(path))
    torch.testing.assert_close(net(normalised(image)), scores, rtol=0.05, atol=0.05)


def detector_layers(width=4, classes=20):
    layers = vgg_layers(width)
    del layers["fc8"]
    maps, hidden, anchors = 8 * width, 64 * width, 9
    for name, shape in {
        "rpn_conv/3x3": (maps, maps, 3, 3),
        "rpn_cls_score": (2 * anchors, maps, 1, 1),
        "rpn_bbox_pred": (4 * anchors, maps, 1, 1),
        "cls_score": (classes + 1, hidden),
        "bbox_pred": (4 * (classes + 1), hidden),
    }.items():
        layers[name] = [torch.randn(shape) * 0.05, torch.randn(shape[0]) * 0.05]
    return layers


@torch.no_grad()
def test_a_detector_of_py_faster_rcnn(tmp_path):
    layers = detector_layers()
    path = write(tmp_path / "VGG16_faster_rcnn_final.caffemodel", layers)
    detector, config = load_detector(path, torch.device("cpu"))
    model = detector.model
    assert detector.class_names[0] == "aeroplane" and detector.class_names[-1] == "tvmonitor"
    assert (detector.short_side, detector.long_side) == (600, 1000) and config.model.roi.nms == 0.3
    x = torch.randn(1, 32, 4, 5)
    logits, deltas = model.rpn.head([x])
    y = F.relu(F.conv2d(x, *layers["rpn_conv/3x3"], padding=1))
    scores = F.conv2d(y, *layers["rpn_cls_score"]).reshape(2, 9, 4, 5).softmax(0)[1]  # theirs: ratio by ratio
    theirs = F.conv2d(y, *layers["rpn_bbox_pred"]).reshape(9, 4, 4, 5)
    for ratio in range(3):
        for size in range(3):
            ours = logits[0].reshape(4, 5, 9)[..., size * 3 + ratio].sigmoid()
            torch.testing.assert_close(ours, scores[ratio * 3 + size])
            torch.testing.assert_close(
                deltas[0].reshape(4, 5, 9, 4)[:, :, size * 3 + ratio], theirs[ratio * 3 + size].permute(1, 2, 0)
            )
    regions = torch.rand(3, 32, 7, 7)
    hidden = F.relu(F.linear(F.relu(F.linear(regions.flatten(1), *layers["fc6"])), *layers["fc7"]))
    found, boxes = model.roi_stage.predictor(model.roi_stage.head(regions))
    expected = F.linear(hidden, *layers["cls_score"])
    torch.testing.assert_close(found, torch.cat([expected[:, 1:], expected[:, :1]], 1), rtol=1e-4, atol=1e-4)
    wanted = F.linear(hidden, *layers["bbox_pred"]).reshape(3, 21, 4)[:, 1:] * torch.tensor([10.0, 10, 5, 5])
    torch.testing.assert_close(boxes.reshape(3, 20, 4), wanted, rtol=1e-4, atol=1e-3)
    assert detector([np.zeros((60, 80, 3), np.uint8)])[0].size == (60, 80)


def test_what_is_told_of_a_classifier_and_what_is_refused(tmp_path, capsys):
    path = write(tmp_path / "net.caffemodel", resnet_layers(width=8, classes=3, counts=(1, 1, 1, 1)))
    assert model_settings(path) == {"model.stride_in_1x1": True, "model.ceil_pool": True}
    assert model_settings(write(tmp_path / "vgg.caffemodel", vgg_layers())) == {"model.ceil_pool": True}
    assert list(read_layers(path))[:2] == ["conv1", "bn_conv1"]
    Image.new("RGB", (20, 20)).save(tmp_path / "x.jpg")
    (tmp_path / "cut.caffemodel").write_bytes(path.read_bytes()[:-1000])
    (tmp_path / "other.caffemodel").write_bytes(b"hello, I am text")
    write(tmp_path / "lenet.caffemodel", {"conv1": [torch.zeros(2, 1, 5, 5)]})
    lines = []
    for name in ("cut", "other", "lenet"):
        file, out = tmp_path / f"{name}.caffemodel", tmp_path / "out"
        assert main(["predict", str(tmp_path / "x.jpg"), "--checkpoint", str(file), "--output", str(out)]) == 2
        assert main(["classify", f"vgg16={file}", "--data", "x"]) == 2
        lines += capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and all("no net of Caffe's" in line for line in lines[:4]), lines
    assert "neither VGG-16 nor a ResNet" in lines[5], lines
