from backbones.nets import make_net
from detection.experiments.published import PAPER_ERRORS, published_error


def test_published_errors_name_nets_that_can_be_made():
    for name, shortcut in PAPER_ERRORS:
        if name != "cifar_resnet1202":
            make_net(name, 10, None if shortcut == "none" else shortcut, width=1)


def test_each_view_has_the_row_of_its_table():
    assert published_error("resnet50", "B", "10-crop", 1000).top1 == 22.85
    assert published_error("resnet50", "B", "multi-scale", 1000).top5 == 5.25
    assert published_error("cifar_resnet20", "A", "whole", 10).top1 == 8.75
    assert published_error("resnet50", "B", "1-crop", 1000) is None
    assert (
        published_error("resnet50", "B", "10-crop", 20) is published_error("cifar_resnet20", "B", "whole", 10) is None
    )
