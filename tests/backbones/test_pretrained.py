import json
from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.models import get_model_weights

from backbones.blocks import BlockOptions
from backbones.pretrained import WeightsError, fetch_state, load_pretrained, read_state
from backbones.resnet import ResNet
from backbones.vgg import VGG16


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return ResNet("resnet18", width=8, classes=7)


@pytest.mark.parametrize("key", ["model", "state_dict", "backbone", None])
@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_a_half_precision_file_loads_under_any_key(tmp_path, trained, key, norm):
    state = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "a.pt")
    assert {v.dtype for v in read_state(tmp_path / "a.pt").values()} == {torch.float32, torch.int64}
    net = ResNet("resnet18", width=8, options=BlockOptions(norm))
    load_pretrained(net, "resnet18", str(tmp_path / "a.pt"))
    for name, value in net.state_dict().items():
        assert value.dtype in (torch.float32, torch.int64)
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name].float()), name


def test_a_data_parallel_prefix_is_taken_off(tmp_path, trained):
    torch.save({f"module.{k}": v for k, v in trained.state_dict().items()}, tmp_path / "a.pt")
    assert read_state(tmp_path / "a.pt").keys() == trained.state_dict().keys()


def test_the_classifier_loads_where_there_is_one(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    net = ResNet("resnet18", width=8, classes=7)
    load_pretrained(net, "resnet18", str(tmp_path / "a.pt"))
    assert torch.equal(net.fc.weight, trained.fc.weight)


def test_a_classifier_of_other_classes_keeps_its_weights(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    net = ResNet("resnet18", width=8, classes=5)
    before = net.fc.weight.clone()
    load_pretrained(net, "resnet18", str(tmp_path / "a.pt"))
    assert torch.equal(net.fc.weight, before) and torch.equal(net.conv1.weight, trained.conv1.weight)


def test_vgg_loads_without_its_last_layer(tmp_path):
    source, net = VGG16(width=2, classes=7), VGG16(width=2)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    load_pretrained(net, "vgg16", str(tmp_path / "a.pt"))
    assert torch.equal(net.classifier[3].weight, source.classifier[3].weight)


def test_real_weights_load(shared):
    net = ResNet("resnet18", options=BlockOptions("frozen"))
    load_pretrained(net, "resnet18", str(shared / "data" / "resnet18_tiny_imagenet.pt"))
    assert net.conv1.weight.std() > 0 and net.bn1.running_var.min() > 0
    assert all(value.isfinite().all() for value in net.state_dict().values())


def refused(net, architecture, source) -> str:
    """The message, which is one line and leaves the net as it was."""
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_pretrained(net, architecture, str(source))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "width", "norm", "message"),
    [
        ("resnet34", 8, "batch", "a.pt lacks layer1.2.conv1.weight and "),
        ("resnet50", 8, "batch", "a.pt lacks layer1.0.conv3.weight and "),
        ("resnet18", 16, "batch", "a.pt has the wrong shape: conv1.weight (8, 3, 7, 7) for (16, 3, 7, 7) and "),
        ("resnet18", 8, "group", "a.pt: this resnet18 has no bn1.running_mean and "),
    ],
)
def test_weights_of_another_net_are_refused(tmp_path, trained, name, width, norm, message):
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    text = refused(ResNet(name, width, BlockOptions(norm)), name, tmp_path / "a.pt")
    assert message in text and text.endswith(f"give weights of a {name} of the same width and norm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable weights file"),
        (b"PK\x03\x04 half a zip", "not a readable weights file"),
        ([1, 2], "holds no state dict; expected names with tensors, alone or under 'model'"),
        ({"model": {"a": 1}}, "holds no state dict"),
        (Path("a"), "not a readable weights file"),  # unpickling it would call something
    ],
)
def test_other_files_are_refused(tmp_path, trained, content, message):
    if isinstance(content, bytes):
        (tmp_path / "a.pt").write_bytes(content)
    else:
        torch.save(content, tmp_path / "a.pt")
    assert message in refused(trained, "resnet18", tmp_path / "a.pt")


def test_a_folder_is_refused(tmp_path, trained):
    assert "not a readable weights file" in refused(trained, "resnet18", tmp_path)


def test_an_unknown_name_lists_the_known(trained):
    message = refused(trained, "resnet18", "IMAGENET22K")
    assert message == "weights 'IMAGENET22K': no such file, and torchvision's for resnet18 are IMAGENET1K_V1, DEFAULT"


def test_a_failed_download_says_where_to_put_the_file(monkeypatch):
    def offline(self, *args, **kwargs):
        raise OSError("no route to host")

    weights = get_model_weights("resnet18").IMAGENET1K_V1
    monkeypatch.setattr(type(weights), "get_state_dict", offline)
    with pytest.raises(WeightsError, match="could not be downloaded \\(no route to host\\)") as caught:
        fetch_state("resnet18", "IMAGENET1K_V1")
    message = str(caught.value)
    assert weights.url in message and Path(weights.url).name in message.split("put it at")[1] and "\n" not in message


def test_a_file_in_the_cache_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd.pth: is not the published file, by its SHA-256"):
        fetch_state("resnet18", "IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (torch.zeros(1).expand(10**10), "more numbers than the file"),
        (torch.zeros(3).to_sparse(), "is not a plain tensor"),
        (torch.zeros(1, device="meta"), "is not a plain tensor"),
    ],
)
def test_tensors_that_are_no_plain_weights_are_refused(tmp_path, value, fault):
    torch.save({"conv1.weight": value}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=f"a.pt: conv1.weight .*{fault}|a.pt: not a readable"):
        read_state(tmp_path / "a.pt")


def as_safetensors(state, path, cut=0):
    """What the safetensors library writes."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, value in state.items():
        raw = value.contiguous().numpy().tobytes()
        place = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": place}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (body[:-cut] if cut else body))


def test_timms_file_fills_a_resnet(tmp_path):
    torch.manual_seed(3)
    peer = torchvision.models.resnet18(weights=None)  # whose names and shapes are timm's
    as_safetensors(peer.half().state_dict(), tmp_path / "model.safetensors")
    net = ResNet("resnet18", 64)
    load_pretrained(net, "resnet18", str(tmp_path / "model.safetensors"))
    for name, value in net.state_dict().items():
        assert torch.equal(value, peer.state_dict()[name].to(value.dtype)), name


def test_a_safetensors_file_that_is_cut_off_or_none_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    as_safetensors({"conv1.weight": torch.zeros(4, 3, 7, 7)}, path, cut=1)
    with pytest.raises(WeightsError, match="not a readable weights file .*lies outside the file"):
        load_pretrained(ResNet("resnet18", 64), "resnet18", str(path))
    for junk in (b"", b"junk", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]", (4).to_bytes(8, "little") + b'{"a"}'):
        path.write_bytes(junk)
        with pytest.raises(WeightsError, match="not a readable weights file"):
            load_pretrained(ResNet("resnet18", 64), "resnet18", str(path))
