"""Models whose weights one message cannot hold: here every weight counts as one of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ddcam
from ddcam.engine import Export, Wishes, export
from ddcam.engine.errors import DdcamError, ModelError
from ddcam.engine.explain import explain
from ddcam.engine.gradient_file import Derivative, write_gradient
from ddcam.engine.graph.content import content_of
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.runtime.session import Session
from ddcam.engine.runtime.trial import trial
from ddcam.engine.split_files import split_files
from ddcam.engine.types import Parted

PICTURE = from_pixels(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8), "noise")


def hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no weight be held by one message."""
    monkeypatch.setattr("ddcam.engine.graph.content.MOST", 0)
    monkeypatch.setattr("ddcam.engine.graph.content.LARGE", 0)


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    hold_nothing(monkeypatch)


def test_weights_beside_a_graph_are_those_inside_it(zoo: Any, heavy: None) -> None:
    proto, _ = zoo.build("plain")
    content, fed = content_of(proto), {"picture": zoo.pictures()}

    assert isinstance(content, Parted)
    assert content.weights
    assert len(content.graph) < len(proto.SerializeToString()) / 2
    np.testing.assert_array_equal(
        Session(content, threads=1).run(fed)[0], Session(proto.SerializeToString(), threads=1).run(fed)[0]
    )


def test_a_trial_run_reads_them_from_a_file(zoo: Any, heavy: None) -> None:
    proto, _ = zoo.build("plain")

    assert (
        trial(content_of(proto), zoo.pictures(), free_batch=True).values
        == zoo.trial(proto.SerializeToString(), zoo.pictures(), free_batch=True).values
    )


def test_every_family_is_explained_as_when_it_is_light(
    zoo: Any, load_here: Callable[..., ddcam.Model], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto, features = zoo.build(family)
    light = explain(load_here(proto, split=features), PICTURE).attribution
    hold_nothing(monkeypatch)
    model = load_here(proto, split=features)
    found = explain(model, PICTURE).attribution

    assert isinstance(model.head.graph, Parted)
    assert found.subset == light.subset
    assert found.certificate.holds == light.certificate.holds
    np.testing.assert_allclose(found.scores, light.scores, rtol=1e-4, atol=1e-5)


def test_files_that_would_be_too_large_are_refused(zoo: Any, heavy: None, tmp_path: Path) -> None:
    path, wishes = tmp_path / "model.onnx", Wishes(threads=1, device="cpu")
    onnx.save(zoo.build("plain")[0], path)
    writing: list[Callable[[Path], object]] = [
        lambda out: export(path, out, Export(), wishes),
        lambda out: split_files(path, out, wishes),
        lambda out: write_gradient(path, out, Derivative(), wishes),
    ]

    for number, write in enumerate(writing):
        out = tmp_path / f"out{number}"
        with pytest.raises(ModelError, match="would be over 2 GB"):
            write(out)
        assert not out.exists()


def test_a_gradient_by_the_picture_is_refused(zoo: Any, load_here: Callable[..., ddcam.Model], heavy: None) -> None:
    model = load_here(zoo.build("plain")[0])

    with pytest.raises(DdcamError, match="would be over 2 GB"):
        explain(model, PICTURE, method="saliency")
