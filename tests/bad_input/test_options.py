"""Options and arguments with values that do not exist or do not fit."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

EXPLAIN = {
    "device": (["--device", "tpu"], "'tpu'"),
    "units": (["--units", "pixel"], "'pixel'"),
    "tokens of a CNN": (["--units", "token"], "no row of tokens"),
    "predicate": (["--preserve", "everything"], "unknown predicate 'everything'"),
    "misspelt predicate": (["--preserve", "confidnce:0.9"], "did you mean confidence"),
    "predicate of nothing": (["--preserve", ""], "unknown predicate"),
    "confidence 0": (["--preserve", "confidence:0"], "0 < T <= 1"),
    "confidence 2": (["--preserve", "confidence:2"], "0 < T <= 1"),
    "confidence nan": (["--preserve", "confidence:nan"], "0 < T <= 1"),
    "confidence without a number": (["--preserve", "confidence:"], "0 < T <= 1"),
    "topk 0": (["--preserve", "topk:0"], "K >= 1"),
    "topk 99": (["--preserve", "topk:99"], "the model has 10"),
    "topk without bounds": (["--preserve", "topk:" + "9" * 5000], "unknown predicate"),
    "label without a name": (["--preserve", "label:"], "label:NAME"),
    "label alone": (["--preserve", "label"], "label:NAME"),
    "label of no class": (["--preserve", "label:giraffe"], "'giraffe'"),
    "label beyond the last": (["--preserve", "label:10"], "'10'"),
    "label of another class": (["--preserve", "label:nine"], "the model decides for class 2"),
    "threshold of a softmax": (["--preserve", "threshold"], "ask for confidence:T"),
    "threshold 0": (["--preserve", "threshold:0"], "0 < T < 1"),
    "threshold 1": (["--preserve", "threshold:1"], "0 < T < 1"),
    "threshold nan": (["--preserve", "threshold:nan"], "0 < T < 1"),
    "threshold without a number": (["--preserve", "threshold:"], "0 < T < 1"),
    "labels of a softmax": (["--preserve", "multilabel"], "ask for confidence:T"),
    "labels at 2": (["--preserve", "multilabel:2"], "0 < T < 1"),
    "tolerance of nothing": (["--preserve", "tolerance"], "E > 0"),
    "tolerance 0": (["--preserve", "tolerance:0"], "E > 0"),
    "tolerance -1": (["--preserve", "tolerance:-1"], "E > 0"),
    "tolerance infinite": (["--preserve", "tolerance:inf"], "E > 0"),
    "tolerance as a word": (["--preserve", "tolerance:little"], "E > 0"),
    "not among the best": (["--preserve", "topk:1", "--target", "7"], "ask for a larger K"),
    "unknown class": (["--target", "giraffe"], "'giraffe'"),
    "class beyond the last": (["--target", "10"], "'10'"),
    "negative class": (["--target", "-1"], "'-1'"),
    "no class": (["--target", ""], "expected the name or index of a class"),
    "two classes": (["--target", "e"], "which fits"),
    "not the top class": (["--target", "7"], "top1 keeps the decision"),
    "patch 0": (["--units", "patch", "--patch", "0"], "--patch"),
    "patch as a word": (["--units", "patch", "--patch", "large"], "--patch"),
    "patch larger than the input": (["--units", "patch", "--patch", "33"], "1 to 32 pixels"),
    "patch of channels": (["--units", "channel", "--patch", "4"], "add --units patch"),
    "baseline of no patches": (["--baseline", "zero"], "add --units patch"),
    "baseline": (["--units", "patch", "--baseline", "grey"], "'grey'"),
    "patches at a tensor": (["--units", "patch", "--split", "features"], "leave out 'features'"),
    "unknown tensor": (["--split", "feature"], "'features'"),
    "unknown output": (["--output", "scores"], "no output 'scores'"),
    "layout": (["--layout", "NHWC"], "layout NHWC does not fit"),
    "preprocessing": (["--preprocessing", "torch"], "'torch'"),
    "preprocessing twice": (["--preprocessing", "unit", "--mean", "0.5"], "take one of them"),
    "size of a fixed model": (["--size", "64x64"], "32x32"),
    "size as a word": (["--size", "abc"], "'abc'"),
    "size without a number": (["--size", "32x"], "'32x'"),
    "negative size": (["--size", "-32x32"], "1 to 65536"),
    "three sizes": (["--size", "32x32x3"], "at most 2"),
    "two means": (["--mean", "0.5,0.5"], "1 or 3 numbers for mean"),
    "three means of grey": (["--mean", "0.1,0.2,0.3"], "1 channel"),
    "mean nan": (["--mean", "nan"], "finite"),
    "std 0": (["--std", "0"], "above 0 for std"),
    "negative std": (["--std", "-1"], "above 0 for std"),
    "batch 0": (["--batch", "0"], "--batch"),
    "threads -1": (["--threads", "-1"], "--threads"),
    "threads without end": (["--threads", "100000000"], "--threads"),
    "memory 0": (["--memory", "0"], "--memory"),
    "memory nan": (["--memory", "nan"], "--memory"),
    "memory infinite": (["--memory", "inf"], "--memory"),
    "memory beyond all machines": (["--memory", "1e30"], "--memory"),
    "method": (["--method", "magic"], "'magic'"),
    "search": (["--search", "all"], "'all'"),
    "unknown option": (["--colour", "red"], "--colour"),
    "option without a value": (["--target"], "--target"),
    "labels missing": (["--labels", "nowhere.txt"], "found none at nowhere.txt"),
    "labels are a folder": (["--labels", "."], "expected a label file"),
    "labels with a name too long": (["--labels", "a" * 300], "too long"),
}


@pytest.mark.parametrize("kind", EXPLAIN)
def test_explain(refused, digits: Path, digit: Path, kind: str) -> None:
    options, names = EXPLAIN[kind]

    refused("explain", digits, digit, *options, names=names)


@pytest.mark.parametrize("kind", ["misspelt predicate", "unknown class", "topk 99", "threshold of a softmax"])
def test_what_fits_no_picture_is_said_once(refused, digits: Path, digit: Path, kind: str) -> None:
    options, names = EXPLAIN[kind]

    refused("explain", digits, digit, digit.with_name("six_0.png"), *options, names=names)


COMPARE = {
    "no method": (["--methods", ""], "expected methods with commas between them"),
    "misspelt method": (["--methods", "grad-cam,eigencam"], "did you mean eigen-cam"),
    "an end that is missing": (["--methods", "grad-cam,"], "expected methods with commas between them"),
    "unknown family": (["--methods", "all:cams"], "all:cams"),
    "unknown option": (["--methods", "rise:wings=2"], "no option 'wings'"),
    "an option as a word": (["--methods", "rise:samples=many"], "expects int"),
    "unknown class": (["--target", "giraffe"], "'giraffe'"),
    "predicate": (["--preserve", "everything"], "unknown predicate"),
    "not the top class": (["--target", "7"], "top1 keeps the decision"),
}


@pytest.mark.parametrize("kind", COMPARE)
def test_compare(refused, digits: Path, digit: Path, kind: str) -> None:
    options, names = COMPARE[kind]

    refused("compare", digits, digit, *options, names=names)


@pytest.mark.parametrize(("model", "picture"), [("nowhere.onnx", "two"), ("digits", "nowhere.png")])
def test_compare_what_is_not_there(refused, digits: Path, digit: Path, model: str, picture: str) -> None:
    refused("compare", {"digits": digits}.get(model, model), {"two": digit}.get(picture, picture), names="nowhere")


LABELS = {
    "too few": (b"zero\none\ntwo\n", "found 3"),
    "too many": (b"\n".join(b"name" for _ in range(11)), "found 11"),
    "none": (b"", "found 0"),
    "bytes": (bytes(range(256)), "UTF-8"),
    "broken JSON": (b'["zero", "one"', "neither JSON nor Python"),
    "JSON without names": (b'{"a": {"b": 1}}', "dict"),
    "deep JSON": (b"[" * 100_000, "neither JSON nor Python"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels(refused, digits: Path, digit: Path, tmp_path: Path, kind: str) -> None:
    content, names = LABELS[kind]
    (tmp_path / "labels.txt").write_bytes(content)

    refused("explain", digits, digit, "--labels", "labels.txt", names=names)


COMMANDS = {
    "no command": (["--"], "Missing command"),
    "unknown command": (["explian", "model.onnx"], "explian"),
    "no model": (["explain"], "MODEL"),
    "no picture": (["explain", "model.onnx"], "IMAGE"),
    "verify nothing": (["verify"], "EXPLANATION"),
    "verify without a model": (["verify", "folder"], "MODEL"),
    "inspect nothing": (["inspect"], "MODEL"),
    "inspect two": (["inspect", "one.onnx", "two.onnx"], "two.onnx"),
    "inspect what is missing": (["inspect", "nowhere.onnx"], "no such model file"),
    "split what is missing": (["split", "nowhere.onnx"], "no such model file"),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_commands(refused, kind: str) -> None:
    arguments, names = COMMANDS[kind]

    refused(*arguments, names=names)


def test_nothing_at_all_shows_the_help(ddcam) -> None:
    code, out, lines = ddcam()

    assert (code, lines) == (0, [])
    assert out.startswith("Usage: ddcam [OPTIONS] COMMAND")


def test_cuda_where_there_is_none(refused, digits: Path, digit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])

    refused("explain", digits, digit, "--device", "cuda", names="no CUDA support")


def test_without_onnxruntime(refused, digits: Path, digit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is None cannot be imported."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)

    refused("explain", digits, digit, names='pip install "ddcam[cpu]"')


CONFIGS = {
    "no JSON": (b"{", "expected JSON"),
    "no object": (b"[]", "expected a JSON object"),
    "wrong types": (json.dumps({"image_mean": "grey", "image_std": 1}).encode(), "image_mean"),
    "other size": (json.dumps({"preprocessing": {"name": "unit", "height": 9, "width": 9}}).encode(), "9x9"),
    "bytes": (bytes(range(256)), "expected JSON"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_config_beside_the_model(refused, small: onnx.ModelProto, picture: Path, tmp_path: Path, kind: str) -> None:
    content, names = CONFIGS[kind]
    (tmp_path / "model").mkdir()
    onnx.save(small, tmp_path / "model" / "model.onnx")
    (tmp_path / "model" / "preprocessor_config.json").write_bytes(content)

    refused("explain", "model/model.onnx", picture, names=names)


METADATA = {
    "mean": ("a lot", "mean"),
    "preprocessing": ('{"scale": "big"}', "scale"),
    "Image.BitmapPixelFormat": ("Octarine8", "pixelformat"),
}


@pytest.mark.parametrize("key", METADATA)
def test_metadata_of_the_model(no_model, small: onnx.ModelProto, key: str) -> None:
    value, names = METADATA[key]
    small.metadata_props.add(key=key, value=value)

    no_model(small, names)


def test_a_free_size_that_the_model_cannot_take(no_model, small: onnx.ModelProto) -> None:
    """A kernel larger than the picture."""
    small.graph.node[2].attribute[0].ints[:] = [0, 0, 0, 0]
    del small.graph.input[:]
    small.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"]))

    no_model(small, "cannot run the model", "--size", "2x2")


def test_a_size_beyond_all_pictures(no_model, small: onnx.ModelProto) -> None:
    del small.graph.input[:]
    small.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"]))

    no_model(small, "pixels of model input", "--size", "65536x65536")


def test_inspect_prints_why_a_model_is_refused(ddcam, small: onnx.ModelProto, tmp_path: Path) -> None:
    """Inspect shows what is known of a model that cannot be explained, the reason last; the exit code tells too."""
    small.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    small.producer_name = "me\x1b[2J\nddcam: fine"
    onnx.save(small, tmp_path / "model.onnx")

    code, out, lines = ddcam("inspect", "model.onnx")

    assert (code, lines) == (2, [])
    assert out.splitlines()[-1].startswith("refusal:")
    assert all(line.isprintable() for line in out.splitlines())
    assert "me [2J ddcam: fine" in out
