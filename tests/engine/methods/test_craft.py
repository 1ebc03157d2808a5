"""CRAFT's map: concepts by their importance, of the right class and model or refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import open_image
from ddcam.engine.dataset import Sample
from ddcam.engine.errors import FittedFileError, OptionError
from ddcam.engine.fitted.concepts import open_concepts, write_concepts
from ddcam.engine.fitted.find_concepts import fit_concepts
from ddcam.engine.methods.craft import craft, left, warnings
from ddcam.models import demo_pictures

SAMPLES = [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()]
DEMO_NAMES = ("cnn_additive", "cnn_interacting", "vit")


@pytest.fixture(scope="module")
def files(demos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    for name in DEMO_NAMES:
        model = demos[f"digits_{name}"]
        write_concepts(fit_concepts(model, SAMPLES, 5, rank=4)[0], model, folder / f"{name}.npz")
    return {name: str(folder / f"{name}.npz") for name in DEMO_NAMES}


@pytest.mark.parametrize("name", DEMO_NAMES)
def test_the_map_is_the_sum_of_the_parts_by_importance(pose, files, name):
    problem = pose(name)
    found = craft(problem, concepts=files[name])
    concepts = open_concepts(Path(files[name]), problem.model)

    assert problem.target == 5
    assert len(found.parts) == 4
    summed = sum(w * part.grid_map for w, part in zip(concepts.importance, found.parts, strict=True))
    np.testing.assert_allclose(found.scores, summed, rtol=1e-4, atol=1e-6)
    assert found.scores.max() > 0
    assert "4 concepts" in found.weighting


def test_importance_in_the_picture_is_its_own(pose, files):
    problem = pose("cnn_interacting")
    maps = [craft(problem, concepts=files["cnn_interacting"], importance=i) for i in ("class", "picture")]
    again = craft(problem, concepts=files["cnn_interacting"], importance="picture")

    assert not np.allclose(maps[0].scores / maps[0].scores.max(), maps[1].scores / maps[1].scores.max())
    np.testing.assert_array_equal(maps[1].scores, again.scores)
    captions = [float(part.caption.split()[-1]) for part in maps[1].parts]
    assert captions == sorted(captions, reverse=True)


def test_a_reconstruction_that_is_taken_for_another_class_is_said(pose, files):
    problem = pose("cnn_interacting")
    concepts = open_concepts(Path(files["cnn_interacting"]), problem.model)
    channels = np.eye(len(concepts.offset), dtype=np.float32)
    all_of_it, nothing = (replace(concepts, directions=directions) for directions in (channels, 0 * channels[:1]))

    assert warnings(all_of_it, problem, all_of_it.codes(problem.maps)) == ()
    [text] = warnings(nothing, problem, nothing.codes(problem.maps))
    assert "alone is taken for" in text
    assert left(all_of_it, problem, all_of_it.codes(problem.maps)) < 1e-6
    assert left(nothing, problem, nothing.codes(problem.maps)) == 1


def test_without_a_file_the_command_that_makes_one_is_named(pose):
    with pytest.raises(OptionError, match="ddcam concepts MODEL FOLDER"):
        craft(pose("cnn_interacting"))


def test_other_classes_models_and_importances_are_refused(pose, files):
    with pytest.raises(OptionError, match="take --target 5"):
        craft(pose("cnn_interacting", target="3"), concepts=files["cnn_interacting"])
    with pytest.raises(FittedFileError, match="another model"):
        craft(pose("cnn_additive"), concepts=files["cnn_interacting"])
    with pytest.raises(OptionError, match="importance=class or picture"):
        craft(pose("cnn_interacting"), concepts=files["cnn_interacting"], importance="mine")
    with pytest.raises(OptionError, match="power of 2"):
        craft(pose("cnn_interacting"), concepts=files["cnn_interacting"], importance="picture", samples=3)
