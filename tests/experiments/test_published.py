from backbones.nets import make_net
from detection.experiments.published import PAPER_ERRORS


def test_published_errors_name_nets_that_can_be_made():
    for name, shortcut in PAPER_ERRORS:
        if name != "cifar_resnet1202":
            make_net(name, 10, None if shortcut == "none" else shortcut, width=1)
