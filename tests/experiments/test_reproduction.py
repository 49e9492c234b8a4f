"""A table of the paper from the data to the page: every cell is trained once, every row tested once."""

import json

import pytest

from detection.cli.main import main
from detection.errors import InputError
from detection.experiments.reproduction import ROWS, reproduce

pytestmark = pytest.mark.thorough

CELLS = {
    "vgg16": ("vgg16", "vgg16", False),
    "resnet": ("c4", "resnet18", False),
    "resnet_context": ("c4", "resnet18", True),
    "second": ("c4", "resnet34", True),
    "third": ("c4", "resnet18", True),
}


@pytest.fixture
def configs(tmp_path):
    """Configs of the five cells, tiny."""
    for name, (architecture, backbone, context) in CELLS.items():
        norm = "frozen" if backbone == "vgg16" else "group"
        model = f"{{architecture: {architecture}, backbone: {backbone}, norm: {norm}, roi: {{context: {context}}}}}"
        (tmp_path / f"mini_{name}.yaml").write_text(f"model: {model}\n".replace("True", "true"))
    return tmp_path


@pytest.mark.parametrize("table", ["table7", "table8"])
def test_every_row_is_there_and_what_is_done_is_not_done_again(configs, tiny, shapes, tmp_path, table):
    left_out = ("--model.backbone", "--model.anchors")
    settings = [o for o in tiny if not o.startswith(left_out)] + ["--model.anchors.sizes=[[16,32]]", f"--data={shapes}"]
    said: list[str] = []
    found = reproduce(table, "mini", configs, settings, tmp_path / "out", said.append, resamples=20)
    assert [row.name for row in found.comparison.rows] == [row.name for row in ROWS]
    assert found.comparison.metric == {"table7": "voc", "table8": "coco"}[table]
    assert found.slower["ResNet"] == 1 and all(ratio > 0 for ratio in found.slower.values())
    context, ensemble = found.comparison.rows[3], found.comparison.rows[5]
    assert ensemble.cost.parameters > context.cost.parameters > found.comparison.rows[1].cost.parameters
    assert sum("training" in line for line in said) == 5 and sum("testing" in line for line in said) == len(ROWS)
    said.clear()
    again = reproduce(table, "mini", configs, settings, tmp_path / "out", said.append, resamples=20)
    assert len(said) == 5 and all("is trained already" in line for line in said)
    assert json.dumps(again.comparison.to_json()) == json.dumps(found.comparison.to_json())


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(InputError, match="mini_vgg16.yaml: no such config"):
        reproduce("table8", "mini", tmp_path, ["--data=x"], tmp_path / "out", print)


def test_weights_chosen_on_the_reported_split_are_refused(configs, shapes, tmp_path):
    settings = ["--model.weights=null", f"--data={shapes}", "--train.iterations=4", "--train.evaluate_every=2"]
    with pytest.raises(InputError, match="chosen on the split that is reported"):
        reproduce("table8", "mini", configs, settings, tmp_path / "out", print)


def test_the_command_passes_on_what_it_is_given(monkeypatch, capsys):
    asked = []

    def refuse(table, scale, configs, settings, output, say, resamples):
        asked.append((table, scale, settings, str(output), resamples))
        assert (configs / f"{'mini' if scale == 'mini' else 'voc'}_vgg16.yaml").is_file()
        raise InputError("enough")

    monkeypatch.setattr("detection.experiments.reproduction.reproduce", refuse)
    assert main(["reproduce", "table7", "--data=x", "--seed", "3"]) == 2
    assert main(["reproduce", "table8", "--scale", "mini", "--output", "o", "--results", "r", "--resamples", "5"]) == 2
    assert capsys.readouterr().err == "frcnn: error: enough\n" * 2
    assert asked == [
        ("table7", "full", ["--data=x", "--seed", "3"], "runs/table7_full", 1000),
        ("table8", "mini", [], "o", 5),
    ]
