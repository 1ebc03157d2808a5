"""What the labels of a data set mean to a model, and in which order pictures come."""

import pytest

from ddcam.engine.dataset import Dataset, Sample, drawn, require_known, true_classes
from ddcam.engine.errors import OptionError
from ddcam.engine.types import Labels, Picture


def never() -> Picture:
    raise AssertionError("nothing needs the pixels")


def data(*labels: int | str | None, classes: tuple[str, ...] = ()) -> Dataset:
    return Dataset(tuple(Sample(str(i), never, label) for i, label in enumerate(labels)), classes, "made up")


PETS = Labels(("cat", "Dog", "newt"), "made up")


def test_a_name_is_the_class_of_that_name_in_any_case() -> None:
    assert true_classes(data("dog", "CAT", None), PETS) == {"dog": 1, "CAT": 0}


def test_a_class_of_the_data_set_is_the_models_at_its_place_where_there_are_as_many() -> None:
    assert true_classes(data("n2", "n1", classes=("n0", "n1", "n2")), PETS) == {"n2": 2, "n1": 1}


def test_a_model_with_a_background_counts_imagenets_classes_from_one() -> None:
    labels = Labels(("background", *(f"thing {i}" for i in range(1000))), "made up")
    wnids = tuple(f"n{i:08d}" for i in range(1000))

    assert true_classes(data("n00000007", 5, classes=wnids), labels) == {"n00000007": 8, 5: 6}
    assert true_classes(data(5), labels) == {5: 5}


def test_labels_that_the_model_does_not_know_are_left_out() -> None:
    assert true_classes(data("dog", "unicorn", 7), PETS) == {"dog": 1}
    require_known(data("dog", "unicorn", 7), PETS)


@pytest.mark.parametrize(("labels", "told"), [(("unicorn", 7), "'unicorn'"), ((None, None), "none")])
def test_where_no_label_is_known_there_is_no_true_class_to_explain(labels: tuple[object, ...], told: str) -> None:
    with pytest.raises(OptionError, match=rf"got {told}; name the model's classes with --labels"):
        require_known(data(*labels), PETS)


def test_a_larger_limit_goes_on_where_a_smaller_one_ended() -> None:
    samples = data(*range(50)).samples

    assert drawn(samples, 10, 3) == drawn(samples, None, 3)[:10]
    assert drawn(samples, None, 3) != drawn(samples, None, 4)
    assert set(drawn(samples, None, 3)) == set(samples)


def test_the_digest_tells_labels_and_boxes_apart() -> None:
    boxed = Dataset((Sample("0", never, 1, ((0.0, 0.0, 1.0, 1.0),)),), (), "made up")

    assert len({data(1).digest, data(2).digest, data(1, 1).digest, boxed.digest}) == 4
