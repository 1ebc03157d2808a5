"""A comparison shows each method's own map, measures it as the metrics do, and says which methods refuse and why."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

import ddcam
from ddcam.engine import (
    METHODS,
    Comparison,
    Contest,
    Model,
    compare,
    describe_comparison,
    methods_named,
    save_comparison,
)
from ddcam.engine.compare import Row, rank_correlations
from ddcam.engine.errors import OptionError, OutputError
from ddcam.engine.metrics import METRICS, case_of
from ddcam.engine.problem import Problem
from ddcam.engine.saliency import enlarge
from ddcam.engine.whereabouts import whereabouts
from ddcam.models import demo_path, demo_pictures

ASKED = "dd-cam,grad-cam,saliency,attention-rollout,cam,rise:samples=20"
PICTURE = demo_pictures()[2]


@pytest.fixture(scope="module")
def model() -> Model:
    return ddcam.load(demo_path("digits_cnn_interacting"))


@pytest.fixture(scope="module")
def found(model: Model) -> Comparison:
    return compare(Contest(model, methods_named(ASKED), preserve="confidence:0.9"), ddcam.open_image(PICTURE))


def test_there_is_a_row_for_each_method_in_the_order_asked_for(found):
    assert ",".join(row.method for row in found.rows) == ASKED
    assert [row.outcome for row in found.rows] == ["map", "map", "map", "refused", "refused", "map"]
    assert found.mapped == ("dd-cam", "grad-cam", "saliency", "rise:samples=20")


def test_a_refusal_gives_its_reason_and_no_numbers(found):
    refused = found.rows[3]

    assert "no attention" in refused.note
    assert [refused.insertion, refused.deletion, refused.seconds, refused.place] == [None] * 4


@pytest.mark.parametrize("name", ["dd-cam", "grad-cam", "saliency", "rise:samples=20"])
def test_the_numbers_are_those_of_the_map_that_explain_makes(model, found, name):
    explanation = ddcam.explain(model, PICTURE, method=name, preserve="confidence:0.9")
    row = next(row for row in found.rows if row.method == name)
    where = whereabouts(explanation.saliency, explanation.placement)

    assert (row.place, row.coverage, row.area) == (where.best.name, where.best.coverage, where.best.area)
    assert row.half == where.half
    problem = Problem(model, explanation.arrays["input"], preserve="confidence:0.9")
    case = case_of(problem, explanation.arrays["input"])
    grid = explanation.attribution.grid_map
    saliency = enlarge((grid / grid.max())[None], case.inputs.shape[2:])[0]
    assert row.insertion == pytest.approx(METRICS["insertion"](saliency, case), abs=1e-3)
    assert row.deletion == pytest.approx(METRICS["deletion"](saliency, case), abs=1e-3)


def test_a_map_that_is_spread_out_is_called_so():
    spread, dense = (Row("m", "map", "the left half", coverage, 0.5, 0.3) for coverage in (0.6, 0.7))

    assert spread.where == "spread out: 60% in the left half (50%)"
    assert dense.where == "70% in the left half (50%)"
    assert Row("m", "refused").where == "refused"


def test_probes_are_those_of_the_search(model, found):
    cost = ddcam.explain(model, PICTURE, preserve="confidence:0.9").attribution.cost

    assert [row.probes for row in found.rows] == [cost.probes, None, None, None, None, None]


def test_the_agreement_is_spearmans_and_holds_for_ties_too():
    rng = np.random.default_rng(3)
    maps = [rng.random((9, 7)), rng.integers(0, 3, (9, 7)) / 2, np.maximum(rng.normal(size=(9, 7)), 0)]
    expected = spearmanr(np.stack([values.ravel() for values in maps]), axis=1).statistic

    np.testing.assert_allclose(rank_correlations(maps), expected, atol=1e-12)
    assert rank_correlations([]).shape == (0, 0)
    assert rank_correlations([maps[0]]).tolist() == [[pytest.approx(1)]]


def test_a_map_agrees_with_itself_and_order_does_not_matter(found):
    np.testing.assert_allclose(found.agreement, found.agreement.T)
    np.testing.assert_allclose(np.diag(found.agreement), 1)


def test_a_blank_map_is_called_blank_and_has_no_place(model):
    """A class of next to no probability keeps a hundredth of it without any unit."""
    methods = methods_named("dd-cam,grad-cam")
    blank, other = compare(Contest(model, methods, "three", "confidence:0.01"), ddcam.open_image(PICTURE)).rows

    assert (blank.outcome, blank.place, blank.insertion) == ("blank", None, None)
    assert "no unit is needed and the map is blank" in blank.note
    assert other.outcome == "map"


def test_every_method_is_told_before_it_runs(model):
    told = []
    compare(Contest(model, methods_named("grad-cam,eigen-cam")), ddcam.open_image(PICTURE), told.append)

    assert told == ["grad-cam", "eigen-cam"]


def test_what_is_written_is_what_was_found(found, tmp_path):
    save_comparison(found, tmp_path / "out")
    with (tmp_path / "out" / "compare.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    with (tmp_path / "out" / "agreement.csv").open(newline="") as file:
        alike = list(csv.reader(file))

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["agreement.csv", "compare.csv", "sheet.png"]
    assert [row["method"] for row in table] == ASKED.split(",")
    assert float(table[1]["insertion"]) == found.rows[1].insertion
    assert table[3]["insertion"] == ""
    assert table[0]["picture"] == PICTURE.name
    np.testing.assert_array_equal(np.array([row[1:] for row in alike[1:]], float), found.agreement)
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        np.testing.assert_array_equal(np.asarray(sheet), found.sheet)
    with pytest.raises(OutputError, match="exists already"):
        save_comparison(found, tmp_path / "out")
    save_comparison(found, tmp_path / "out", replace=True)


def test_what_is_described_is_plain_json(found):
    told = json.loads(json.dumps(describe_comparison(found)))

    assert [row["method"] for row in told["methods"]] == ASKED.split(",")
    assert told["agreement"]["methods"] == list(found.mapped)
    assert told["target"]["label"] == found.target.label


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("grad-cam", ["grad-cam"]),
        ("grad-cam, eigen-cam ,grad-cam", ["grad-cam", "eigen-cam"]),
        ("rise:samples=5:cells=3,lime", ["rise:samples=5:cells=3", "lime"]),
        ("all:search", [name for name, method in METHODS.items() if method.facts.family == "search"]),
        ("fem,all:search", ["fem", *(name for name, method in METHODS.items() if method.facts.family == "search")]),
        ("all", [name for name, method in METHODS.items() if not method.facts.needs.endswith("file")]),
    ],
)
def test_methods_are_named_one_by_one_by_family_or_all(text, names):
    assert list(methods_named(text)) == names


@pytest.mark.parametrize("text", ["", "grad-cam,", "gradcam", "all:cams", "rise:samples=many", "rise:wings=2"])
def test_names_that_mean_nothing_are_refused(text):
    with pytest.raises(OptionError):
        methods_named(text)
