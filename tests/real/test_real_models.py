"""Every real model is explained or refused with a true reason, and what is said of it is true."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from ddcam import explain, inspect, load, open_explanation, open_image, save, verify
from ddcam.engine import Model, split_files
from ddcam.engine.errors import ModelError
from ddcam.engine.head import bind_head, telling_masks
from ddcam.engine.model import prepare as prepare_model
from ddcam.engine.preprocess import prepare
from ddcam.engine.runtime.session import Session
from ddcam.engine.types import Wishes

pytestmark = pytest.mark.data
MODELS = ("mobilenetv2_torch_nchw_f32_logits_opset13", "squeezenet1.1_nchw_f32_opset7")
EXPECTED_SPLITS = {"squeezenet1.1_nchw_f32_opset7": "squeezenet0_concat7"}


def run_plainly(file: Path, inputs: np.ndarray, output: str) -> np.ndarray:
    """Run a model with ONNX Runtime and nothing else."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run([output], {session.get_inputs()[0].name: inputs})[0].ravel()


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits.astype(np.float64) - logits.max())
    return odds / odds.sum()


def explainable(entries: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Model]]:
    return [(e, load(e["file"], preprocessing=e["preset"])) for e in entries if not e["name"].startswith("detectors")]


@pytest.fixture(scope="module")
def models(entries: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Model]]:
    return explainable(entries)


def test_the_detector_is_refused_with_its_outputs_named(entries: list[dict[str, Any]]) -> None:
    detector = next(e for e in entries if e["name"].startswith("detectors"))

    with pytest.raises(ModelError, match=r"scores float32\[1, 4420, 2\]; boxes float32\[1, 4420, 4\]"):
        load(detector["file"])
    assert "choose a box with --box" in inspect(detector["file"])["refusal"]


def test_every_classifier_is_explained_certified_and_verified(
    models: list[tuple[dict[str, Any], Model]], tmp_path: Path
) -> None:
    for number, (entry, model) in enumerate(models):
        for picture, preserve in zip(entry["pictures"], ("top1", "confidence:0.9", "confidence:0.5"), strict=True):
            explanation = explain(model, picture, preserve=preserve)
            folder = tmp_path / f"{number}-{preserve.replace(':', '-')}"
            save(explanation, folder, keep_arrays=True)

            assert explanation.attribution.certificate.holds, (entry["name"], preserve)
            assert explanation.saliency.shape == picture.pixels.shape[:2]
        assert verify(open_explanation(folder), entry["file"]).agrees, entry["name"]


def test_every_classifier_predicts_what_plain_onnx_runtime_predicts(
    models: list[tuple[dict[str, Any], Model]],
) -> None:
    for entry, model in models:
        opened = model.opened
        for picture in entry["pictures"]:
            inputs, _ = prepare(picture, opened.preprocessing, opened.picture)
            plain = run_plainly(entry["file"], inputs, opened.logits.output).astype(np.float64)
            if opened.logits.activation == "none":
                plain = softmax(plain)
            if "Log" in opened.logits.reason:
                plain = np.exp(plain)
            if plain.max() > 1:  # probabilities in 8 bit
                plain = plain / 256
            target = explain(model, picture).target
            step = {"float16": 2e-2, "uint8": 5e-2, "int8": 5e-2}
            coarse = max([step.get(v.dtype, 1e-4) for v in opened.measured.values.values()])

            assert plain[target.index] >= plain.max() - coarse, entry["name"]
            assert abs(plain[target.index] - target.probability) <= coarse, entry["name"]


def test_every_classifier_is_split_into_two_files_that_agree_with_it(
    entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    for number, entry in enumerate(e for e in entries if not e["name"].startswith("detectors")):
        folder = tmp_path / str(number)
        wishes = Wishes(preprocessing=entry["preset"])
        tensor, difference = split_files(entry["file"], folder, wishes)
        head = ort.InferenceSession(folder / "head.onnx", providers=["CPUExecutionProvider"])

        assert [i.name for i in head.get_inputs()] == [tensor]
        assert difference <= 1e-4 or "fp16" in entry["name"] or any(q in entry["name"] for q in ("qdq", "int8"))


@pytest.mark.parametrize("name", MODELS)
def test_twenty_photographs_are_certified_and_verified(
    name: str, data: Path, photographs: list[Path], tmp_path: Path
) -> None:
    file = data / "models" / "imagenet" / f"{name}.onnx"
    model = load(file)
    for path in photographs[:20]:
        save(explain(model, path), tmp_path / path.stem)
        saved = open_explanation(tmp_path / path.stem)

        assert saved.manifest["outcome"] == "one-minimal"
        assert saved.manifest["certificate"]["minimal"]
        assert saved.manifest["certificate"]["sufficient"]
    verdict = verify(saved, file, open_image(path))
    assert verdict.agrees
    assert model.split.tensor == EXPECTED_SPLITS.get(name, model.split.tensor)


@pytest.mark.parametrize("search", ["ordered", "ddmin", "units"])
@pytest.mark.parametrize("preserve", ["top1", "confidence:0.9"])
def test_every_search_on_every_classifier_is_certified(
    models: list[tuple[dict[str, Any], Model]], search: str, preserve: str
) -> None:
    for entry, model in models:
        found = explain(model, entry["pictures"][0], preserve=preserve, search=search).attribution

        assert found.outcome == "one-minimal", entry["name"]
        assert found.certificate.holds, entry["name"]
        assert found.search.startswith(f"{search} on "), entry["name"]
        if search == "ordered":
            probes = (found.cost.probes, found.cost.canonical_runs)
            assert probes[0] <= 2 * model.split.count, (entry["name"], probes)


def test_threads_do_not_move_a_bit_of_the_canonical_run(models: list[tuple[dict[str, Any], Model]]) -> None:
    """The last word may take as many threads as it likes: they share out the outputs, not the sums."""
    for entry, model in models:
        opened, masks = model.opened, telling_masks(model.split.count)
        features = model.features(opened.samples[:1])
        first, *others = (
            bind_head(Session(model.head.graph, threads=threads, without=opened.without), features, 1).score(masks)
            for threads in (1, 2, 3)
        )
        for other in others:
            np.testing.assert_array_equal(other, first, err_msg=entry["name"])


@pytest.mark.parametrize(("search", "preserve"), [("ordered", "confidence:0.9"), ("ddmin", "top1")])
def test_answers_do_not_depend_on_batch_or_threads(
    models: list[tuple[dict[str, Any], Model]], search: str, preserve: str
) -> None:
    """Batch sizes 1, 7 and 64 and 1 and 2 threads give the same subset on every kind of head."""
    for entry, model in models:
        subsets = set()
        for threads in (1, 2):
            opened = prepare_model(model.opened, Wishes(threads=threads, batch=64))
            for batch in {1, min(7, opened.batch), opened.batch}:
                other = replace(opened, batch=batch)
                found = explain(other, entry["pictures"][1], preserve=preserve, search=search).attribution
                assert found.certificate.holds, entry["name"]
                subsets.add(found.subset)

        assert len(subsets) == 1, (entry["name"], search, preserve)


def test_maps_lie_on_the_object_more_than_chance(data: Path, photographs: list[Path]) -> None:
    """Energy of the map inside the ground-truth boxes against the share of the picture that they cover."""
    boxes = json.loads((data / "labels" / "imagenet_val160_boxes.json").read_text(encoding="utf-8"))
    model = load(data / "models" / "imagenet" / f"{MODELS[0]}.onnx")
    energy, cover = [], []
    for path in photographs[:40]:
        explanation = explain(model, path, preserve="confidence:0.9")
        if explanation.target.index != boxes[path.name]["label"]:
            continue
        inside = np.zeros(explanation.saliency.shape, bool)
        for x0, y0, x1, y1 in boxes[path.name]["boxes_xyxy"]:
            inside[y0:y1, x0:x1] = True
        energy.append(explanation.saliency[inside].sum() / explanation.saliency.sum())
        cover.append(inside.mean())

    assert len(energy) >= 20
    assert np.mean(energy) > np.mean(cover) + 0.05
