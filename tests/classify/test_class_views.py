"""Testing views against torchvision's transforms, and the averages taken over them."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from detection.classify.batches import normalise
from detection.classify.images import ImageSet
from detection.classify.views import View, log_loss, probabilities, top_errors, view_batches
from detection.errors import InputError


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def images_of(*sizes: tuple[int, int]) -> ImageSet:
    contents: list = []
    for seed, size in enumerate(sizes):
        buffer = io.BytesIO()
        picture(*size, seed).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    names = [str(i) for i in range(len(sizes))]
    return ImageSet(("a", "b", "c"), np.zeros(len(sizes), dtype=np.int64), names, None, contents)


class Net(nn.Module):
    """Looks at position and colour, so that every view scores differently."""

    def __init__(self, classes: int, seed: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, bias=False)
        self.norm = nn.BatchNorm2d(classes)
        with torch.no_grad():
            self.conv.weight.normal_(generator=torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)).relu()
        return (y * torch.linspace(0, 5, y.shape[3])).mean((2, 3))


@pytest.mark.parametrize("size", [(45, 61), (60, 40), (33, 34)])
def test_crops_are_torchvisions(size):
    image = picture(*size)
    resized = v2.Resize(37)(image)
    (one,) = View("1-crop", 24, 37)(image)
    expected = v2.PILToTensor()(v2.CenterCrop(24)(resized)).numpy()
    # Pillow holds the window in float32, so a weight may round the other way.
    assert np.abs(one[0].astype(int) - expected).max() <= 1
    (ten,) = View("10-crop", 24, 37)(image)
    np.testing.assert_array_equal(ten, torch.stack([v2.PILToTensor()(crop) for crop in v2.TenCrop(24)(resized)]))
    scales = View("multi-scale", scales=(20, 37))(image)
    for found, scale in zip(scales, (20, 37)):
        np.testing.assert_array_equal(found[0], v2.PILToTensor()(v2.Resize(scale)(image)))


@pytest.mark.parametrize(
    "view", [View("whole"), View("1-crop", 12, 16), View("10-crop", 12, 16), View("multi-scale", scales=(10, 15))]
)
@pytest.mark.parametrize("workers", [0, 1])
def test_probabilities_are_means_over_views(view, workers):
    images = images_of((16, 16), (16, 20), (16, 20), (16, 16), (19, 16))
    net = Net(3, 2).eval()
    net.norm.train()
    before = net.norm.running_mean.clone()
    found = probabilities(net, images, view, "cpu", batch=3, workers=workers)
    assert not net.training and net.norm.training
    assert torch.equal(net.norm.running_mean, before)
    net.eval()
    for row in range(len(images)):
        views = view(Image.fromarray(images.image(row).transpose(1, 2, 0)))
        with torch.no_grad():
            each = [net(normalise(torch.from_numpy(v))).softmax(1) for v in views]
        torch.testing.assert_close(found[row], torch.cat(each).mean(0))
    assert sum(len(x) for x in view_batches(images, view)) == len(images) * sum(len(v) for v in views)


def test_images_held_in_memory_are_read_as_they_are():
    files = images_of((8, 8), (8, 8), (8, 8))
    held = ImageSet(files.class_names, files.labels, files.names, np.stack([files.image(i) for i in range(3)]))
    one, two = (probabilities(Net(3, 1), images, View("whole"), "cpu", batch=2) for images in (files, held))
    torch.testing.assert_close(one, two)


def test_what_cannot_be_tested_is_refused():
    images = images_of((8, 8))
    with pytest.raises(InputError, match="an empty set cannot be tested"):
        probabilities(Net(3, 1), images.subset([]), View("whole"), "cpu")
    with pytest.raises(ValueError, match="view '5-crop' is unknown; known are whole, 1-crop, 10-crop, multi-scale"):
        View("5-crop")
    with pytest.raises(ValueError, match="a crop of 224 does not fit into a short side of 64"):
        View("10-crop", short_side=64)
    broken = ImageSet(("a",), np.zeros(1, dtype=np.int64), ["x.jpg"], None, [b"?"])
    with pytest.raises(InputError, match="^x.jpg: not an image"):
        probabilities(Net(3, 1), broken, View("1-crop", 8, 8), "cpu", workers=1)


def test_errors_and_loss():
    scores = torch.tensor([[0.5, 0.1, 0.2, 0.05, 0.1, 0.05], [0.1, 0.3, 0.2, 0.15, 0.2, 0.05]])
    errors = top_errors(scores, np.array([2, 5]))
    assert errors == {"top1_error": 1.0, "top5_error": 0.5}
    assert top_errors(scores[:, :5], torch.tensor([0, 0])) == {"top1_error": 0.5}  # all are among the first five of 5
    assert log_loss(scores, torch.tensor([0, 1])) == pytest.approx(-(math.log(0.5) + math.log(0.3)) / 2)


def test_a_published_net_reaches_its_error_on_the_real_images(shared):
    """../shared/data/README.md gives 18.97 % for ResNet-20 on the 10,000 test images; here every 40th."""
    import tarfile

    from backbones.nets import make_net

    archive, weights = shared / "data/cifar10_jpeg.tar.xz", shared / "data/cifar_resnets/resnet20.pt"
    if not (archive.is_file() and weights.is_file()):
        pytest.skip("shared/data holds no CIFAR-10")
    with tarfile.open(archive, "r|xz") as tar:
        chosen = []
        for member in tar:
            if not member.name.startswith("test"):
                break  # the training images follow
            if member.isfile() and int(member.name[-8:-4]) % 40 == 0:
                chosen.append((member.name, tar.extractfile(member).read()))
    classes = tuple(sorted({name.split("/")[1] for name, _ in chosen}))
    labels = np.array([classes.index(name.split("/")[1]) for name, _ in chosen])
    images = ImageSet(classes, labels, [name for name, _ in chosen], None, [data for _, data in chosen])
    net = make_net("cifar_resnet20", 10)
    net.load_state_dict(torch.load(weights, weights_only=True))
    error = top_errors(probabilities(net, images, View("whole"), "cpu"), labels)["top1_error"]
    assert len(images) == 250 and 0.12 < error < 0.26
