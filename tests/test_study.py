"""The study of explanations still runs, and its tables say what the values say."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def script(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name))


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return script("study_table")


@pytest.fixture
def small(tables: SimpleNamespace) -> SimpleNamespace:
    """Make a study of two models: on `one`, row a is better by 0.1 on every picture, on `two` it is worse on most."""
    one = np.array([[[0.5, 0.2], [0.4, 0.3]], [[0.9, 0.1], [0.8, 0.2]], [[0.2, 0.2], [0.1, 0.3]]])
    two = np.array([[[0.1, 0.5], [0.4, 0.5]], [[0.2, 0.5], [0.3, 0.5]]])
    return tables.Study({"one": (["x", "y", "z"], one), "two": (["x", "w"], two)}, ["a", "b"], {"up": 1, "down": -1})


def test_a_gain_is_positive_where_the_row_is_better(small):
    gains = small.gains("a", "b")

    np.testing.assert_allclose(gains["one"], 0.1)
    np.testing.assert_allclose(gains["two"], [[-0.3, 0], [-0.1, 0]])


def test_a_gain_that_is_certain_is_bold_and_a_loss_in_italics(tables, small):
    one, two, together = tables.gains_table(small, "a", "b").splitlines()[2:]

    assert one == "| one | 3 | **+0.100** (+0.100, +0.100) | **+0.100** (+0.100, +0.100) |"
    assert two.startswith("| two | 2 | *-0.200* (-0.300, -0.100) | +0.000 (+0.000, +0.000) |")
    assert together.startswith("| mean of all models | 4 | -0.050 (")


def test_the_interval_is_that_of_the_mean(tables):
    values = np.random.default_rng(1).normal(0.5, 1.0, (400, 1))
    low, high = tables.interval(tables.resampled(values))

    assert low[0] < values.mean() < high[0]
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_best_mean_of_a_column_is_bold(tables, small):
    lines = tables.means_table(small, "one").splitlines()

    assert lines[0] == "| map | up ↑ | down ↓ |"
    assert lines[2:] == ["| a | **0.533** | **0.167** |", "| b | 0.433 | 0.267 |"]


def test_over_the_best_linear_map_every_cell_has_its_own_rival(tables):
    values = np.array([[[0.5, 0.5], [0.4, 0.6], [0.7, 0.2]]])
    study = tables.Study({"one": (["x"], values)}, ["ours", "first", "second"], {"up": 1, "more": 1})

    assert tables.best_linear_table(study, "ours", ["first", "second"]).splitlines()[2:] == [
        "| one | -0.200 | -0.100 |",
        "| models where it is not worse | 0 | 0 |",
    ]


def test_the_study_runs_on_one_picture(tmp_path, monkeypatch, capsys):
    for folder in ("images/imagenet-val160", "models", "labels"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "models" / "pictures" / "five_0.png", tmp_path / "images" / "imagenet-val160")
    shutil.copy(ROOT / "models" / "digits_cnn_additive.onnx", tmp_path / "models")
    entry = {"name": "digits_cnn_additive.onnx", "ds": "in", "pre": "unit"}
    boxes = {"five_0.png": {"label": 5, "boxes_xyxy": [[64, 64, 192, 192]]}}
    (tmp_path / "models" / "manifest.json").write_text(json.dumps([entry]), encoding="utf-8")
    (tmp_path / "labels" / "imagenet_val160_boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    monkeypatch.setenv("DDCAM_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["study", "--pictures", "1", "--keep", str(tmp_path / "kept")])

    study = script("study")
    study.main()
    printed = capsys.readouterr().out

    assert "### digits_cnn_additive" in printed
    assert printed.count("| cells, `nested` |") == 1
    assert "nan" not in printed
    with np.load(tmp_path / "kept" / "digits_cnn_additive.npz") as kept:
        assert kept["values"].shape == (1, len(study.LINEAR) + len(study.OURS), len(study.METRICS))
        assert ((kept["values"] >= 0) & (kept["values"] <= 1)).all()
