"""Series, volumes, rows of pixels and encoded files: what was planted is found, and every score is the file's."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import ddcam
from ddcam.engine.errors import DdcamError, ModelError, OptionError, PictureError, SplitError
from ddcam.engine.methods.forms import OF_PLANES
from ddcam.engine.model import check_cut
from ddcam.engine.preprocess import from_array, prepare
from ddcam.engine.problem import Problem
from ddcam.engine.render.slices import contact_sheet
from ddcam.engine.saliency import volume_map
from ddcam.engine.types import Placement
from ddcam.engine.whereabouts import shortest_half

LENGTH, DEPTH, HEIGHT, WIDTH = 96, 8, 12, 16


def saved(nodes: list[Any], weights: dict[str, Any], inputs: list[Any], outputs: list[Any], ml: int = 0) -> Any:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    sets = [helper.make_opsetid("", 20), *([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])]
    graph = helper.make_graph(nodes, "made", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def convolving(spatial: tuple[int, ...], channels: int, *, last: bool = False, batch: str | int = "N") -> Any:
    """Two convolutions in one or three dimensions; feature 5 of 6 is the last channel, and class 2 is its mean."""
    random, axes = np.random.default_rng(0), len(spatial)
    first = random.normal(0, 0.03, (4, channels, *[3] * axes)).astype(np.float32)
    second = random.normal(0, 0.03, (6, 4, *[3] * axes)).astype(np.float32)
    centre = (slice(None), *[1] * axes)
    first[3], second[5] = 0, 0
    first[3][centre], second[5][centre] = np.eye(channels)[-1], np.eye(4)[3]
    scores = np.zeros((3, 6), np.float32)
    scores[2, 5], scores[0, :5] = 20, 0.2
    weights = {"k": first, "k2": second, "w": scores, "b": np.float32([0.5, 0, 0])}
    turned = [helper.make_node("Transpose", ["x"], ["xt"], perm=[0, axes + 1, *range(1, axes + 1)])] if last else []
    nodes = [
        *turned,
        helper.make_node("Conv", ["xt" if last else "x", "k"], ["c"], pads=[1, 1] * axes),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2] * axes, strides=[2] * axes),
        helper.make_node("Conv", ["p", "k2"], ["c2"], pads=[1, 1] * axes),
        helper.make_node("Relu", ["c2"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["row"]),
        helper.make_node("Gemm", ["row", "w", "b"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["y"], axis=1),
    ]
    shape = [batch, *spatial, channels] if last else [batch, channels, *spatial]
    ends = [helper.make_tensor_value_info(*item) for item in (("x", 1, shape), ("y", 1, [batch, 3]))]
    return saved(nodes, weights, ends[:1], ends[1:])


def pulse() -> np.ndarray:
    """`[3, T]`: noise, and in the last channel a pulse at 60 to 71."""
    made = np.random.default_rng(1).normal(0, 0.1, (3, LENGTH)).astype(np.float32)
    made[2, 60:72] += 3
    return made


def lump() -> np.ndarray:
    """`[D, H, W]`: noise, and a lump in slices 5 and 6."""
    made = np.random.default_rng(1).normal(0, 0.1, (DEPTH, HEIGHT, WIDTH)).astype(np.float32)
    made[5:7, 2:6, 9:13] += 3
    return made


# ----- series -----


def test_a_series_through_the_command_line(tmp_path: Path, monkeypatch, console):
    monkeypatch.chdir(tmp_path)
    onnx.save(convolving((LENGTH,), 3), "model.onnx")
    np.save("series.npy", pulse())

    code, out, err = console("explain", "model.onnx", "series.npy", "-o", "why")
    assert code == 0, err
    assert "has half of itself on positions 6" in out
    assert "of 0 to 95" in out
    assert ddcam.open_explanation("why").manifest["subset"] == [5]
    saliency = np.load("why/saliency.npy")
    assert saliency.shape == (LENGTH,)
    assert saliency[58:74].sum() > 0.8 * saliency.sum()
    with Image.open("why/panel.png") as panel, Image.open("why/overlay.png") as overlay:
        assert min(panel.size) > 300
        lit = np.asarray(overlay.convert("RGB"), int)
    assert np.ptp(lit[150, 70 + 10 * 66], axis=-1) > 30  # behind the pulse the map's colour, elsewhere white
    assert lit[60, 70 + 10 * 10].min() > 240
    assert console("verify", "why", "model.onnx", "series.npy")[0] == 0
    code, out, _ = console("inspect", "model.onnx")
    assert (code, "a series of 96 positions, channels first, 3 channels" in out) == (0, True)
    code, _, err = console("compare", "model.onnx", "series.npy")
    assert (code, "a comparison draws pictures, the model takes a series" in err) == (2, True)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("units", ["channel", "cell", "patch"])
def test_a_series_is_scored_as_the_file_scores_it(zoo, load_here, last, batch, units):
    proto = convolving((LENGTH,), 3, last=last, batch=batch)
    model = load_here(proto, units=units)
    given = pulse().T if last else pulse()
    inputs, _ = prepare(from_array(pulse()), model.opened.preprocessing, model.opened.picture)
    posed = Problem(model, inputs)

    proto.graph.output.append(onnx.ValueInfoProto(name="z"))
    np.testing.assert_allclose(posed.logits, zoo.run(proto, {"x": given[None]}, ["z"])[0][0], rtol=1e-4, atol=1e-5)
    assert check_cut(model) < 1e-5
    assert model.probe.batchable
    assert posed.split.grid[0] == 1
    masks = np.random.default_rng(0).integers(0, 2, (5, posed.units))
    np.testing.assert_allclose(
        posed.score(masks.astype(np.float32)), posed.score_each_alone(masks > 0), rtol=1e-4, atol=1e-4
    )


OF_ANY_KIND = ("grad-cam", "layer-cam-fused", "nested", "score-cam", "opti-cam", "input-x-gradient", "fullgrad", "lrp")
PERTURBING = ("occlusion", "kernel-shap", "sobol", "hsic", "sis", "rise:samples=500")


@pytest.mark.parametrize("method", [*OF_ANY_KIND, *(f"{name}:score=logit" for name in PERTURBING)])
def test_methods_of_every_kind_find_the_pulse(load_here, method):
    found = ddcam.explain(load_here(convolving((LENGTH,), 3)), from_array(pulse()), method=method)

    assert found.saliency.shape == (1, LENGTH)
    assert found.saliency[0, 55:77].mean() > 2 * np.delete(found.saliency[0], range(55, 77)).mean()


def test_the_length_of_a_series_may_be_free(load_here):
    with pytest.raises(ModelError, match=r"leaves the sizes of a series free; give its length with --size T"):
        load_here(convolving(("T",), 3))
    assert load_here(convolving(("T",), 3), size=(LENGTH, LENGTH)).split.grid == (1, LENGTH // 2)
    with pytest.raises(OptionError, match="expected the length 96 of x, got 50"):
        load_here(convolving((LENGTH,), 3), size=(50, 50))
    with pytest.raises(PictureError, match=r"expected an array \[3, 96\] or \[96, 3\] for x.*float64\[3, 50\]"):
        ddcam.explain(load_here(convolving((LENGTH,), 3)), from_array(np.zeros((3, 50))))


def test_a_transformer_over_positions_has_them_as_tokens(zoo, load_here):
    """Its 16 tokens lie in a row, not in a square."""
    draft = zoo.Draft()
    picture = zoo.build("vit_mean", ending="none")[0]
    x = draft.add("Conv", ["series", draft.weight(8, 2, 4, fan=8)], strides=[4])
    draft.add("Transpose", x, "start", perm=[0, 2, 1])
    first = next(i for i, node in enumerate(picture.graph.node) if node.op_type == "Transpose")
    tokens = picture.graph.node[first].output[0]
    rest = [helper.make_node("Identity", ["start"], [tokens]), *picture.graph.node[first + 1 :]]
    drafted = {tensor.name: f"d_{tensor.name}" for tensor in draft.tensors}
    for tensor in draft.tensors:
        tensor.name = drafted[tensor.name]
    for node in draft.nodes:
        node.input[:] = [drafted.get(name, name) for name in node.input]
    del picture.graph.node[:]
    picture.graph.node.extend([*draft.nodes, *rest])
    picture.graph.initializer.extend(draft.tensors)
    picture.graph.input[0].CopyFrom(helper.make_tensor_value_info("series", TensorProto.FLOAT, ["N", 2, 64]))
    model = load_here(picture)

    assert (model.split.units, model.split.count, model.split.grid) == ("token", 16, (1, 16))
    found = ddcam.explain(model, from_array(np.random.default_rng(3).normal(size=(2, 64))))
    assert found.saliency.shape == (1, 64)


# ----- volumes -----


def test_a_volume_through_the_command_line(tmp_path: Path, monkeypatch, console):
    monkeypatch.chdir(tmp_path)
    onnx.save(convolving((DEPTH, HEIGHT, WIDTH), 1), "model.onnx")
    np.savez("volume.npz", lump())

    code, out, err = console("explain", "model.onnx", "volume.npz", "-o", "why")
    assert code == 0, err
    assert "on slices" in out
    assert ddcam.open_explanation("why").manifest["subset"] == [5]
    saliency = np.load("why/saliency.npy")
    assert saliency.shape == (DEPTH, HEIGHT, WIDTH)
    assert saliency[5:7, 2:6, 9:13].min() > 0.5
    assert saliency[:3].max() < 0.2
    with Image.open("why/overlay.png") as sheet:
        assert sheet.size == (2 * (WIDTH + 1), 4 * (HEIGHT + 1))
    assert console("verify", "why", "model.onnx", "volume.npz")[0] == 0
    code, out, _ = console("inspect", "model.onnx")
    assert (code, "a volume of 8 slices of 12 x 16" in out) == (0, True)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("units", ["channel", "cell"])
def test_a_volume_is_scored_as_the_file_scores_it(zoo, load_here, last, batch, units):
    proto = convolving((DEPTH, HEIGHT, WIDTH), 2, last=last, batch=batch)
    model = load_here(proto, units=units)
    given = np.stack([lump()[::-1], lump()])
    inputs, _ = prepare(from_array(given), model.opened.preprocessing, model.opened.picture)
    posed = Problem(model, inputs)

    proto.graph.output.append(onnx.ValueInfoProto(name="z"))
    fed = np.moveaxis(given, 0, -1) if last else given
    expected = zoo.run(proto, {"x": np.ascontiguousarray(fed[None])}, ["z"])[0][0]
    np.testing.assert_allclose(posed.logits, expected, rtol=1e-4, atol=1e-5)
    assert check_cut(model) < 1e-5
    assert posed.split.slices == (DEPTH, DEPTH // 2)
    assert posed.split.grid == (DEPTH // 2 * (HEIGHT // 2), WIDTH // 2)


@pytest.mark.parametrize(
    "method",
    ["shapley", "grad-cam", "layer-cam", "eigen-cam", "ablation-cam", "input-x-gradient", "integrated-gradients"],
)
def test_methods_find_the_lump(load_here, method):
    found = ddcam.explain(load_here(convolving((DEPTH, HEIGHT, WIDTH), 1)), from_array(lump()), method=method)
    where = np.zeros((DEPTH, HEIGHT, WIDTH), bool)
    where[4:8, 1:7, 8:14] = True
    saliency = found.saliency.reshape(where.shape)

    assert saliency[where].mean() > 5 * saliency[~where].mean()


def test_methods_of_planes_refuse_volumes_and_say_what_they_take(load_here):
    model = load_here(convolving((DEPTH, HEIGHT, WIDTH), 1))
    for method in sorted(OF_PLANES):
        with pytest.raises(OptionError, match=rf"^{method} takes pictures \[H, W\] and series \[T\]"):
            ddcam.explain(model, from_array(lump()), method=method)
    with pytest.raises(SplitError, match="patches are squares of pictures or pieces of series"):
        load_here(convolving((DEPTH, HEIGHT, WIDTH), 1), units="patch")


def test_a_map_of_a_volume_is_linear_along_its_three_axes():
    grid = np.zeros((2, 2, 2), np.float32)
    grid[0] = 1  # the upper two slices of four
    found = volume_map(grid.reshape(4, 2), (4, 2), Placement(16, 4, 0, 0, 16, 4)).reshape(4, 4, 4)

    np.testing.assert_allclose(found, np.broadcast_to(np.reshape([1, 0.75, 0.25, 0], (4, 1, 1)), (4, 4, 4)))
    sheet = contact_sheet(np.arange(16).reshape(16, 1).repeat(4, axis=1), 4, gap=-1)
    assert sheet.shape == (10, 10)
    assert [sheet[0, 0], sheet[0, 5], sheet[5, 0], sheet[5, 5], sheet[4, 0]] == [0, 4, 8, 12, -1]


def test_the_shortest_run_that_holds_half():
    assert shortest_half(np.array([1, 0, 3, 3, 0, 1.0])) == (2, 3)
    assert shortest_half(np.array([0, 0, 5.0, 1])) == (2, 2)


# ----- rows of pixels -----


def trees(names: list[str], width: int) -> Any:
    """A scaler and three trees: class 1 where pixel 27 of a row is bright; probabilities go through a ZipMap."""
    tree = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [27, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "class_treeids": [0, 0, 0, 0],
        "class_nodeids": [1, 1, 2, 2],
        "class_ids": [0, 1, 0, 1],
        "class_weights": [0.9, 0.1, 0.2, 0.8],
        "classlabels_strings": names,
        "post_transform": "NONE",
    }
    scaler = {"offset": [0.0] * width, "scale": [1.0] * width}
    nodes = [
        helper.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", **scaler),
        helper.make_node("TreeEnsembleClassifier", ["scaled"], ["label", "share"], domain="ai.onnx.ml", **tree),
        helper.make_node("ZipMap", ["share"], ["zipped"], domain="ai.onnx.ml", classlabels_strings=names),
    ]
    outputs = [helper.make_tensor_value_info("label", TensorProto.STRING, ["N"])]
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    outputs.append(helper.make_value_info("zipped", helper.make_sequence_type_proto(kind)))
    return saved(nodes, {}, [helper.make_tensor_value_info("x", 1, ["N", width])], outputs, ml=3)


def test_a_pipeline_of_trees_on_rows_of_pixels(tmp_path: Path, monkeypatch, console):
    """Pixel 27 of 64 is row 3, column 3: the only patch that is needed."""
    monkeypatch.chdir(tmp_path)
    onnx.save(trees(["dark", "bright"], 64), "model.onnx")
    pixels = np.full((8, 8), 20, np.uint8)
    pixels[3, 3] = 250
    Image.fromarray(pixels).save("picture.png")

    code, out, err = console("explain", "model.onnx", "picture.png", "-o", "why", "--patch", "1", "--baseline", "zero")
    assert code == 0, err
    assert out.startswith("picture.png: bright (1), probability 0.800")
    manifest = ddcam.open_explanation("why").manifest
    assert manifest["subset"] == [27]
    assert console("verify", "why", "model.onnx", "picture.png")[0] == 0
    code, _, err = console("explain", "model.onnx", "picture.png", "--method", "grad-cam")
    assert (code, "(trees, layers on flat rows" in err, "occlusion, rise, lime" in err) == (2, True, True)
    code, _, err = console("explain", "model.onnx", "picture.png", "--size", "5x5")
    assert (code, "expected a size of 64 numbers" in err) == (2, True)


@pytest.mark.parametrize(
    "method", ["occlusion:window=1", "rise:samples=3000:cells=8", "lime:baseline=zero", "kernel-shap:cells=8"]
)
def test_perturbations_find_the_pixel_of_a_tree(load_here, method):
    """Only one pixel matters to it."""
    pixels = np.random.default_rng(0).integers(0, 40, (8, 8)).astype(np.uint8)
    pixels[3, 3] = 250
    found = ddcam.explain(load_here(trees(["dark", "bright"], 64)), from_array(pixels), method=method)

    row, column = np.unravel_index(found.attribution.grid_map.argmax(), found.attribution.grid_map.shape)
    assert max(abs(row - 3), abs(column - 3)) <= 1, (row, column)


@pytest.mark.parametrize("method", ["sobol", "hsic:samples=1500", "sis"])
def test_indices_and_sufficient_cells_of_a_tree(load_here, method):
    pixels = np.random.default_rng(0).integers(0, 40, (8, 8)).astype(np.uint8)
    pixels[3, 3] = 250
    found = ddcam.explain(load_here(trees(["dark", "bright"], 64)), from_array(pixels), method=method)

    assert found.attribution.grid_map.argmax() == 27


@pytest.mark.parametrize(
    ("width", "size", "expected"),
    [(784, None, (1, 28, 28)), (3072, None, (3, 32, 32)), (96, (4, 8), (3, 4, 8)), (96, (8, 12), (1, 8, 12))],
)
def test_rows_are_squares_or_what_is_asked_for(load_here, width, size, expected):
    picture = load_here(trees(["a", "b"], width), size=size).opened.picture

    assert (picture.channels, picture.height, picture.width) == expected


def test_rows_that_are_no_picture_say_which_option_tells(load_here):
    with pytest.raises(ModelError, match=r"expected one input that takes a picture.*--size HxW"):
        load_here(trees(["a", "b"], 90))


# ----- preprocessing inside the graph -----


def with_preprocessing(order: str | None, height: int | str) -> Any:
    """Bytes or pixels in, resized to 8 x 8 and normalised; class 1 is the mean red, class 0 a constant."""
    kernel = np.zeros((2, 3, 1, 1), np.float32)
    kernel[1, 0 if order != "BGR" else 2] = 1
    kernel[0, 1] = 0.1
    weights = {
        "to": np.array([1, 8, 8, 3], np.int64),
        "mean": np.float32([127.5] * 3),
        "k": kernel,
        "k2": np.float32(np.eye(2)[..., None, None]),
        "none": np.zeros(0, np.float32),
        "batch": np.array([0], np.int64),
    }
    pixels = "x"
    decoding = []
    if order:
        pixels = "decoded"
        decoding = [
            helper.make_node("ImageDecoder", ["x"], ["rgb"], pixel_format=order),
            helper.make_node("Unsqueeze", ["rgb", "batch"], ["decoded"]),
        ]
    nodes = [
        *decoding,
        helper.make_node("Cast", [pixels], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["real", "", "", "to"], ["small"], mode="linear"),
        helper.make_node("Sub", ["small", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "mean"], ["normal"]),
        helper.make_node("Transpose", ["normal"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["f"]),
        helper.make_node("Conv", ["f", "k2"], ["c2"]),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    shape = ["n"] if order else [1, height, height, 3]
    given = [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)]
    return saved(nodes, weights, given, [helper.make_tensor_value_info("y", 1, [1, 2])])


@pytest.mark.parametrize(("order", "height"), [(None, 32), (None, "H"), ("RGB", 0), ("BGR", 0)])
def test_pixels_resized_and_normalised_in_the_graph(load_here, order, height):
    """Raw pixels go in; of an encoded file ddcam decodes it, and the colours come in the order that the model wants."""
    model = load_here(with_preprocessing(order, height), size=(32, 32))
    pixels = np.full((32, 32, 3), 30, np.uint8)
    pixels[:16, :16, 0] = 250
    found = ddcam.explain(model, ddcam.engine.preprocess.from_pixels(pixels), preserve="top1")
    red = np.where(pixels[..., 0] > 99, (250 - 127.5) / 127.5, 0).mean()

    assert found.preprocessing.name == "raw"
    assert found.target.index == 1
    assert found.target.logit == pytest.approx(red, rel=0.1)
    assert found.attribution.subset == (1,)
    assert found.saliency[:14, :14].min() > 0.5
    assert found.saliency[18:, 18:].max() < 0.1


def test_a_decoder_inside_the_model_is_refused_with_the_reason(load_here):
    proto = with_preprocessing("RGB", 0)
    proto.graph.node.insert(0, helper.make_node("Identity", ["x"], ["bytes"]))
    proto.graph.node[1].input[0] = "bytes"
    with pytest.raises(DdcamError, match=r"ImageDecoder\), for which ONNX Runtime has no kernel"):
        load_here(proto)
