"""Models of one score, a yes or no or a value, and models with several heads: from the file to the verified answer."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import ddcam
from ddcam.engine.errors import ExplanationError, ModelError, OptionError
from ddcam.engine.explain import require_request
from ddcam.engine.methods import METHODS
from ddcam.engine.model import Model
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.problem import Problem
from ddcam.engine.types import Labels, Picture

WIDTH = 12
PICTURE = from_pixels(np.random.default_rng(3).integers(0, 256, (20, 20, 3)).astype(np.uint8))


def single(
    zoo: Any, ending: str, head: str = "additive", shape: tuple[Any, ...] = ("N", 1), classes: int = 1, **options: Any
) -> onnx.ModelProto:
    """Build conv, ReLU, conv, ReLU, pooling and a layer or two; `ending` as of the zoo, `shape` of the output."""
    draft = zoo.Draft(seed=options.pop("seed", 4), **options)
    x = features(draft)
    if head == "interacting":
        x = draft.add("Relu", draft.dense(x, WIDTH, 9))
    draft.dense(x, 9 if head == "interacting" else WIDTH, classes, "logits")
    output = draft.end(ending)
    if len(shape) == 1:
        output = draft.add("Reshape", [output, draft.constant(np.array([-1]))], "flat")
    return draft.model(output, shape)


def features(draft: Any) -> str:
    x = draft.add("Relu", draft.conv(draft.picture(), 3, WIDTH, 5, strides=[2, 2]))
    x = draft.add("Relu", draft.conv(x, WIDTH, WIDTH, 3, strides=[2, 2]), "features")
    return str(draft.add("Flatten", draft.add("GlobalAveragePool", x)))


@pytest.fixture
def explained(load_here: Callable[..., Model], tmp_path: Path) -> Callable[..., tuple[Any, Any]]:
    """Explain, save and verify a model's view of the picture; return explanation and verdict."""

    def run(proto: onnx.ModelProto, preserve: str | None = None, **wishes: Any) -> tuple[Any, Any]:
        model = load_here(proto, **wishes)
        explanation = ddcam.explain(model, PICTURE, preserve=preserve)
        ddcam.save(explanation, tmp_path / "why", keep_arrays=True, replace=True)
        saved = ddcam.open_explanation(tmp_path / "why")
        return explanation, ddcam.verify(saved, tmp_path / "model.onnx", PICTURE)

    return run


def change(proto: onnx.ModelProto, name: str, how: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change a weight of a model in place."""
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    before = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(how(before).astype(before.dtype), name))


SHAPES = [(("N", 1), "N"), ((1, 1), 1), ((1,), 1), (("N",), "N"), (("N", 1, 1), "N")]


@pytest.mark.parametrize(("shape", "batch"), SHAPES)
@pytest.mark.parametrize("head", ["additive", "interacting"])
def test_every_form_of_one_score_is_read_and_explained(zoo, explained, shape, batch, head) -> None:
    proto = single(zoo, "none", head, ("N", 1) if len(shape) == 3 else shape, batch=batch)
    if len(shape) == 3:
        proto.graph.node.append(helper.make_node("Reshape", ["logits", "sizes"], ["deep"]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1, 1]), "sizes"))
        proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("deep", 1, list(shape)))

    explanation, verdict = explained(proto, "tolerance:0.05")

    assert explanation.model["classes"] == 1
    assert explanation.attribution.certificate.holds
    assert 0 < len(explanation.attribution.subset) < WIDTH
    assert verdict.agrees, str(verdict)


def test_a_sigmoid_score_is_a_yes_or_no(zoo, explained) -> None:
    explanation, verdict = explained(single(zoo, "Sigmoid"), "confidence:0.99")
    share = 1 / (1 + np.exp(-explanation.target.logit))

    assert str(explanation).startswith(f"positive (0), probability {share:.3f}: ")
    assert explanation.target.probability == pytest.approx(share)
    assert verdict.agrees


@pytest.mark.parametrize("bias", [-3.0, 3.0])
@pytest.mark.parametrize("head", ["additive", "interacting"])
def test_the_default_of_a_sigmoid_score_keeps_its_side(zoo, explained, bias, head) -> None:
    """The bias speaks for the other side, so that units are needed to hold the score up or down."""
    proto = single(zoo, "Sigmoid", head)
    layers = [node for node in proto.graph.node if node.op_type == "Gemm"]
    for layer in layers:
        sign = -4 * np.sign(bias) if layer is layers[-1] else 1
        change(proto, layer.input[1], lambda weight, sign=sign: sign * np.abs(weight))
        change(proto, layer.input[2], lambda offset: 0 * offset)
    change(proto, layers[-1].input[2], lambda offset: offset + bias / 6)

    explanation, verdict = explained(proto)
    found = explanation.attribution

    assert explanation.predicate == "threshold"
    assert (explanation.target.probability > 0.5) == (bias < 0)
    assert found.outcome == "one-minimal"
    assert found.certificate.holds
    assert not found.certificate.empty_keeps
    assert verdict.agrees
    assert found.weighting == "drop of the margin"
    assert not explanation.warnings
    assert all(found.scores[list(found.subset)] > 0), "what holds a score down matters as what holds it up"


def test_a_plain_score_is_a_value_and_nothing_else(zoo, explained, tmp_path) -> None:
    explanation, verdict = explained(single(zoo, "none"), "tolerance:0.05")
    manifest = json.loads((tmp_path / "why" / "manifest.json").read_text(encoding="utf-8"))
    found = explanation.attribution

    assert str(explanation).startswith(f"score {explanation.target.logit:.5g}: ")
    assert manifest["target"]["probability"] is None
    assert "probability" not in manifest["sentence"]
    assert abs(found.certificate.logit - explanation.target.logit) <= 0.05
    assert all(abs(z - explanation.target.logit) > 0.05 for z in found.certificate.logit_without)
    assert all(found.scores[list(found.subset)] > 0), "a unit that holds the score down has a weight too"
    assert verdict.agrees


def test_a_plain_score_decides_nothing_so_a_predicate_must_be_given(zoo, load_here) -> None:
    model = load_here(single(zoo, "none"))

    for ask in (ddcam.explain, lambda model, _: require_request(model)):
        with pytest.raises(OptionError, match=r"'logits' is one plain score.*--preserve tolerance:E"):
            ask(model, PICTURE)


@pytest.mark.parametrize("preserve", ["top1", "label:score", "topk:1", "confidence:0.9", "threshold"])
def test_what_makes_no_sense_for_a_head_is_refused_before_any_picture(zoo, load_here, preserve) -> None:
    with pytest.raises(OptionError, match="tolerance:E"):
        require_request(load_here(single(zoo, "none")), preserve=preserve)


def test_the_score_has_the_name_that_the_model_gives(zoo, load_here) -> None:
    proto = single(zoo, "none")
    proto.metadata_props.add(key="names", value='["age"]')
    opened = load_here(proto).opened

    assert opened.labels.names == ("age",)
    assert "one score without a sigmoid, a value" in opened.logits.reason
    assert "a yes or no" in load_here(single(zoo, "Sigmoid")).opened.logits.reason


def test_the_softmax_of_one_score_is_refused(zoo, load_here) -> None:
    with pytest.raises(ModelError, match="softmax of one score, which is always 1"):
        load_here(single(zoo, "Softmax"))


@pytest.mark.parametrize("level", [-12.0, 0.0])
def test_a_score_near_nothing_is_no_reason_to_doubt_the_cut(zoo, load_here, level) -> None:
    """Probabilities near 0 in 16 bits, and scores near 0, are compared on the scale of what they could be."""
    proto = single(zoo, "Sigmoid", dtype="float16" if level else "float32")
    last = proto.graph.node[-2]
    change(proto, last.input[1], lambda weight: 0.05 * weight)
    change(proto, last.input[2], lambda offset: 0 * offset + level)

    assert load_here(proto).opened.logits.classes == 1


# ----- several labels, several heads -----


def test_a_set_of_labels_is_kept(zoo, explained) -> None:
    explanation, verdict = explained(single(zoo, "Sigmoid", classes=6, shape=("N", 6)), "multilabel")
    without = explanation.attribution.certificate.margin_without

    assert explanation.attribution.certificate.holds
    assert all(margin <= 0 for margin in without)
    assert verdict.agrees


def test_a_class_that_is_not_on_top_can_be_the_target(zoo, load_here) -> None:
    model = load_here(single(zoo, "Sigmoid", classes=6, shape=("N", 6)))
    top = ddcam.explain(model, PICTURE, preserve="multilabel").top
    target, best = str(top[2].index), top[0].index
    for preserve in ("topk:3", f"label:{best}", "confidence:0.9", "threshold", "tolerance:0.1"):
        explanation = ddcam.explain(model, PICTURE, target=target, preserve=preserve)

        assert explanation.target.index == top[2].index
        assert explanation.attribution.certificate.holds


@pytest.fixture
def faces(zoo) -> onnx.ModelProto:
    """A model with four outputs: a yes or no, a value, three classes, and six labels."""
    draft = zoo.Draft(seed=4)
    pooled = features(draft)
    draft.add("Sigmoid", draft.dense(pooled, WIDTH, 1), "smile")
    draft.dense(pooled, WIDTH, 1, "age")
    draft.add("Softmax", draft.dense(pooled, WIDTH, 3), "hair", axis=1)
    draft.add("Sigmoid", draft.dense(pooled, WIDTH, 6), "tags")
    proto = draft.model("smile", ("N", 1))
    for name, count in (("age", 1), ("hair", 3), ("tags", 6)):
        proto.graph.output.append(helper.make_tensor_value_info(name, 1, ["N", count]))
    return proto


ASKED = [
    ("smile", "threshold"),
    ("smile", "threshold:0.52"),
    ("smile", "confidence:0.95"),
    ("smile", "tolerance:0.05"),
    ("age", "tolerance:0.05"),
    ("hair", None),
    ("hair", "topk:2"),
    ("hair", "tolerance:0.05"),
    ("hair", "confidence:0.95"),
    ("tags", "multilabel"),
    ("tags", "multilabel:0.6"),
    ("tags", "threshold:0.6"),
]


@pytest.mark.parametrize(("output", "preserve"), ASKED)
def test_any_predicate_on_a_chosen_output(faces, explained, output, preserve) -> None:
    explanation, verdict = explained(faces, preserve, output=output)

    assert explanation.model["output"] == output
    assert explanation.attribution.certificate.holds
    assert verdict.agrees, str(verdict)


def test_classes_go_before_single_scores_where_no_output_is_named(faces, load_here) -> None:
    assert load_here(faces).opened.logits.output == "hair"


# ----- label:NAME -----


@pytest.fixture
def named(zoo, load_here) -> Model:
    """A classifier whose class names come from a file that a verification does not have."""
    model = load_here(single(zoo, "Softmax", classes=3, shape=("N", 3)))
    return replace(model, opened=replace(model.opened, labels=Labels(("cat", "dog: big", "owl"), "a file")))


def decided(model: Model, picture: Picture = PICTURE) -> tuple[int, str]:
    best = ddcam.explain(model, picture).target
    return best.index, best.label


def test_a_label_is_shown_as_it_was_written_and_verified_without_its_file(named, tmp_path) -> None:
    index, name = decided(named)
    explanation = ddcam.explain(named, PICTURE, preserve=f"label:{name}")
    ddcam.save(explanation, tmp_path / "why", keep_arrays=True)
    verdict = ddcam.verify(ddcam.open_explanation(tmp_path / "why"), tmp_path / "model.onnx")

    assert f"suffice for label:{name} (" in str(explanation)
    assert explanation.attribution.subset == ddcam.explain(named, PICTURE).attribution.subset
    assert Problem(named, explanation.arrays["input"], preserve=f"label:{name}").predicate.text == f"label:{index}"
    assert verdict.agrees


def test_a_label_that_is_not_decided_for_is_refused(named) -> None:
    other = next(label for label in named.opened.labels.names if label != decided(named)[1])

    with pytest.raises(OptionError, match="label keeps a decision for class"):
        ddcam.explain(named, PICTURE, preserve=f"label:{other}")
    with pytest.raises(OptionError, match="name or index of a class, got 'emu'"):
        require_request(named, preserve="label:emu")


def test_a_manifest_with_another_label_is_not_believed(named, tmp_path) -> None:
    name = decided(named)[1]
    ddcam.save(ddcam.explain(named, PICTURE, preserve=f"label:{name}"), tmp_path / "why", keep_arrays=True)
    path = tmp_path / "why" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(manifest | {"predicate": "label:emu"}), encoding="utf-8")

    with pytest.raises(ExplanationError, match="the manifest says label:emu, but class"):
        ddcam.verify(ddcam.open_explanation(tmp_path / "why"), tmp_path / "model.onnx")


def test_a_manifest_with_another_score_is_contradicted(zoo, explained, tmp_path) -> None:
    explained(single(zoo, "none"), "tolerance:0.05")
    path = tmp_path / "why" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["top"][0]["logit"] += 0.01
    path.write_text(json.dumps(manifest), encoding="utf-8")
    verdict = ddcam.verify(ddcam.open_explanation(tmp_path / "why"), tmp_path / "model.onnx")

    assert not verdict.agrees
    assert "the manifest says the score is" in str(verdict)


@pytest.mark.parametrize("head", ["additive", "interacting"])
@pytest.mark.parametrize("preserve", ["tolerance:0.02", "threshold:0.52"])
def test_the_batch_changes_nothing_for_one_score(zoo, load_here, head, preserve) -> None:
    inputs = zoo.pictures(1, seed=5)
    found = [
        METHODS["dd-cam"](Problem(load_here(single(zoo, "Sigmoid", head), batch=batch), inputs, preserve=preserve))
        for batch in (1, 64)
    ]

    assert found[0].subset == found[1].subset
    assert found[0].certificate == found[1].certificate
