"""The masked head gives what the plain head gives for features that NumPy masked."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from ddcam.engine.graph.cut import FEATURES, LOGITS, MASK, Part, expose, extract, mask_shape, masked_head
from ddcam.engine.graph.interface import find_logits, find_picture_input
from ddcam.engine.graph.split import choose_split, find_candidates
from ddcam.engine.types import Split


@pytest.fixture
def split(zoo: SimpleNamespace):
    """Split a model: `(split, plain head, masked head, features)`, the features of one picture."""

    def split_at(proto: onnx.ModelProto, **wishes: str) -> tuple[Split, onnx.ModelProto, bytes, np.ndarray]:
        picture, logits = find_picture_input(proto), find_logits(proto, "picture")
        inputs = zoo.pictures(2, picture.layout, picture.dtype)
        measured = zoo.trial(expose(proto).SerializeToString(), inputs, free_batch=picture.free_batch)
        found = find_candidates(proto, picture, logits, measured.values)
        chosen = choose_split(proto, found, ("picture", logits.tensor), **wishes)
        head = extract(proto, measured, Part(chosen.tensor, (logits.tensor,)))
        backbone = extract(proto, measured, Part("picture", (chosen.tensor,)))
        [features] = zoo.run(backbone, {"picture": inputs[:1]})
        return chosen, head, masked_head(head, chosen, logits, {}), features

    return split_at


def random_masks(units: int, count: int = 6) -> np.ndarray:
    """Draw masks, among them the full and the empty one."""
    masks = np.random.default_rng(units).integers(0, 2, (count, units)).astype(np.float32)
    masks[0], masks[1] = 1, 0
    return masks


def masked(features: np.ndarray, split: Split, mask: np.ndarray) -> np.ndarray:
    """Set removed units to zero by indexing alone."""
    result = features.copy()
    removed = np.flatnonzero(mask == 0)
    match split.units:
        case "channel":
            np.moveaxis(result, split.unit_axis, 0)[removed] = 0
        case "cell":
            for cell in removed:
                np.moveaxis(result, split.unit_axis, 3)[0, cell // split.grid[1], cell % split.grid[1]] = 0
        case "token":
            patches = [i for i in range(split.shape[1]) if i not in split.fixed]
            result[0, [patches[i] for i in removed]] = 0
    return result


def compare(zoo: SimpleNamespace, parts: tuple[Split, onnx.ModelProto, bytes, np.ndarray], tolerance: float) -> None:
    split, head, masking, features = parts
    masks = random_masks(split.count)
    [got] = zoo.run(masking, {FEATURES: features, MASK: masks})
    alone = np.concatenate([zoo.run(masking, {FEATURES: features, MASK: mask[None]})[0] for mask in masks])
    plain = [zoo.run(head, {split.tensor: masked(features, split, mask)})[0].reshape(1, -1) for mask in masks]

    assert (got.dtype, got.shape) == (np.float32, (len(masks), 5))
    np.testing.assert_allclose(alone, np.concatenate(plain).astype(np.float32), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got, alone, rtol=tolerance, atol=tolerance)
    assert np.ptp(got, axis=0).max() > 1e-3, "the masks must matter"


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_masks_remove_the_units_of_every_family(zoo, split, family, layout):
    proto, _ = zoo.build(family, layout=layout)

    compare(zoo, split(proto), 1e-5)


def test_masks_take_the_type_of_the_features(zoo, split, family):
    proto, _ = zoo.build(family, dtype="float16", opset=13)
    parts = split(proto)

    assert parts[0].dtype == "float16"
    compare(zoo, parts, 1e-2)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", ["plain", "hidden", "concatenated", "convnext"])
def test_cells_are_counted_row_by_row(zoo, split, name, layout):
    proto, _ = zoo.build(name, layout=layout)

    compare(zoo, split(proto, units="cell"), 1e-5)


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_operator_set_can_mask(zoo, split, opset):
    name = ["plain", "vit_registers", "mixer"][opset % 3]
    proto, _ = zoo.build(name, opset)
    parts = split(proto)

    onnx.checker.check_model(onnx.load_from_string(parts[2]))
    compare(zoo, parts, 1e-5)


def test_class_scores_with_further_axes_are_flattened(zoo, split):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    draft.conv(draft.add("GlobalAveragePool", x), 8, 5, 1)
    draft.nodes[-1].output[0] = "logits"
    proto = draft.model(draft.add("Softmax", "logits", "output", axis=1), ("N", 5, 1, 1))

    compare(zoo, split(proto), 1e-5)


def test_interface_of_the_masked_head(zoo, split):
    chosen, _, masking, _ = split(zoo.build("vit_registers")[0])
    graph = onnx.load_from_string(masking).graph
    shapes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]

    assert [v.name for v in (*graph.input, *graph.output)] == [FEATURES, MASK, LOGITS]
    assert shapes == [[1, 19, 8], ["N", 16], ["N", 5]]
    assert chosen.count == 16


@pytest.mark.parametrize(
    ("expected", "units", "shape", "axis", "grid"),
    [
        ([-1, 8, 1, 1], "channel", (1, 8, 2, 3), 1, (2, 3)),
        ([-1, 1, 1, 8], "channel", (1, 2, 3, 8), 3, (2, 3)),
        ([-1, 1, 2, 3], "cell", (1, 8, 2, 3), 1, (2, 3)),
        ([-1, 2, 3, 1], "cell", (1, 2, 3, 8), 3, (2, 3)),
        ([-1, 2, 1, 3], "cell", (1, 2, 8, 3), 2, (2, 3)),
        ([-1, 7, 1], "token", (1, 7, 8), 1, (2, 3)),
    ],
)
def test_shape_by_which_masks_meet_features(expected, units, shape, axis, grid):
    assert mask_shape(Split("t", "float32", shape, units, 0, axis, grid, (0,), "")) == expected
