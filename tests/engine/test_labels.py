"""Class names come from where they should, and a name means one class or none."""

import json
from pathlib import Path

import pytest

from ddcam.engine import labels as module
from ddcam.engine.errors import OptionError
from ddcam.engine.labels import choose_labels, find_label
from ddcam.engine.types import Labels

PETS = ("cat", "dog", "tiger cat")


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "labels.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refusal(file: Path, classes: int = 3) -> str:
    with pytest.raises(OptionError) as problem:
        choose_labels(classes, file=file)
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\ntiger cat",
        "cat\ndog\ntiger cat\n\n",
        "\ufeffcat\r\ndog\r\ntiger cat\r\n",
        "  cat \n\ndog\ntiger \t cat",
        '\ufeff["cat", "dog", "tiger cat"]',
        "('cat', 'dog', 'tiger cat')",
        '{"1": "dog", "0": "cat", "2": "tiger cat"}',
        '{"tiger cat": 2, "dog": 1, "cat": 0}',
        '{"cat": "0", "dog": "1", "tiger cat": "2"}',
        " {0: 'cat', 1: 'dog', 2: 'tiger cat'}\n",
        '{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "tiger cat"]}',
        "n02123045 cat\nn02123046 dog\nn02123047 tiger cat",
        '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "tiger cat"}}',
        "cat,dog,tiger cat",
    ],
)
def test_every_usual_form_of_a_label_file_is_read(tmp_path, text):
    labels = choose_labels(3, file=written(tmp_path, text))

    assert labels.names == PETS
    assert labels.reason == "from the file labels.txt"


def test_a_name_keeps_its_commas_and_its_script(tmp_path):
    assert choose_labels(2, file=written(tmp_path, "tench, Tinca tinca\nキジトラ")).names == (
        "tench, Tinca tinca",
        "キジトラ",
    )


def test_a_wrong_number_of_names_is_refused_with_both_numbers(tmp_path):
    file = written(tmp_path, "cat\ndog\n")

    assert refusal(file).startswith(f"expected 3 names, found 2 in {file}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["cat", "dog"', "neither JSON nor Python"),
        ("{'cat', 'dog', 'tiger'}", "found a set"),
        ('["cat", null, "dog"]', "found a NoneType"),
        ('["cat", ["a", []], "dog"]', "found a list"),
        ('{"0": "cat", "1": "dog", "3": "tiger cat"}', "found none of 2"),
        ('{"a": 1, "b": 1, "c": 0}', "found none of 2"),
        ('{"a": "x", "b": "y", "c": "z"}', "without indices"),
        ('{"a": true, "b": false, "c": 2.0}', "without indices"),
        ("['a\\d', 'b', 'c']", "neither JSON nor Python"),
        ("[__import__('os').getcwd(), 'a', 'b']", "neither JSON nor Python"),
        ("[" * 100_000, "neither JSON nor Python"),
        ("[" + "-" * 200_000 + "1]", "neither JSON nor Python"),
        ("[" + "9" * 6000 + "]", "neither JSON nor Python"),
        ("['a', 'b', 0x" + "f" * 6000 + "]", "found a int"),
        ("{'a': 0, 'b': 1, 'c': 0x" + "f" * 6000 + "}", "without indices"),
        ('{"names": ' * 400 + "[]" + "}" * 400, "without indices"),
        ("", "found 0"),
        (b"caf\xe9\nb\nc", "UTF-8"),
        (b"\x00\xff\xfe", "UTF-8"),
    ],
)
def test_a_broken_label_file_is_refused(tmp_path, text, said):
    assert said in refusal(written(tmp_path, text))


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(tmp_path):
    assert "found none" in refusal(tmp_path / "nowhere.txt")
    assert "found none" in refusal(tmp_path)
    assert "too long" in refusal(tmp_path / ("x" * 5000))
    assert "at most 5 MB" in refusal(written(tmp_path, b"a" * 5_000_001))


def test_names_cannot_steer_a_terminal_or_fill_a_page(tmp_path):
    file = written(tmp_path, json.dumps(["\x1b[31mred\nnext", "\u202eabc", "x" * 10_000]))

    names = choose_labels(3, file=file).names

    assert names[:2] == ("[31mred next", "abc")
    assert len(names[2]) == 200


def test_an_empty_name_becomes_a_number():
    assert choose_labels(3, metadata={"names": '["cat", "", "dog"]'}).names == ("cat", "class 1", "dog")


def test_a_file_goes_before_the_config_and_the_config_before_the_metadata(tmp_path):
    config = {"id2label": {"0": "a", "1": "b"}}
    metadata = {"labels": "c,d"}
    file = written(tmp_path, "e\nf")

    assert choose_labels(2, file=file, config=config, metadata=metadata).names == ("e", "f")
    assert choose_labels(2, config=config, metadata=metadata).names == ("a", "b")
    assert choose_labels(2, metadata=metadata) == Labels(("c", "d"), "from 'labels' of the ONNX metadata")


@pytest.mark.parametrize("config", [{"id2label": {0: "cat", 1: "dog"}}, {"label_names": ["cat", "dog"]}])
def test_a_config_may_be_from_transformers_or_timm(config):
    assert choose_labels(2, config=config).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'cat', 1: \"dog's\"}"),
        ("labels", '["cat", "dog\'s"]'),
        ("classes", "cat\ndog's\n"),
        ("id2label", '{"0": "cat", "1": "dog\'s"}'),
        ("class_names", "cat, dog's"),
    ],
)
def test_metadata_is_read_as_exporters_write_it(key, text):
    assert choose_labels(2, metadata={"author": "x", key: text}).names == ("cat", "dog's")


def test_names_of_the_model_that_do_not_fit_are_passed_over_aloud():
    labels = choose_labels(2, config={"id2label": {"0": "a"}}, metadata={"classes": "80", "names": "[broken"})

    assert labels.names == ("class 0", "class 1")
    assert labels.reason.startswith("no names found: numbered; expected 2 names, found 1 in 'id2label'")
    assert "found 1 in 'classes'" in labels.reason
    assert "neither JSON nor Python in 'names'" in labels.reason


def test_placeholders_of_transformers_are_not_names():
    config = {"id2label": {str(index): f"LABEL_{index}" for index in range(1000)}}

    labels = choose_labels(1000, config=config)

    assert labels[207] == "golden retriever"
    assert "LABEL_0" in labels.reason


@pytest.mark.parametrize("text", ["{0: 'a', 1: '" + "b" * module.LITERAL_LIMIT + "'}", "a\n" + "b" * module.FILE_LIMIT])
def test_endless_metadata_is_passed_over(text):
    labels = choose_labels(2, metadata={"names": text})

    assert labels.names == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench"),
        (1, "goldfish"),
        (134, "crane bird"),
        (207, "golden retriever"),
        (281, "tabby"),
        (285, "Egyptian cat"),
        (517, "crane"),
        (817, "sports car"),
        (999, "toilet tissue"),
    ],
)
def test_imagenet_names_are_in_the_order_of_the_classes(index, name):
    assert choose_labels(1000)[index] == name
    assert choose_labels(1001)[index + 1] == name


def test_assumed_names_are_complete_and_say_that_they_are_assumed():
    names = choose_labels(1000).names

    assert len(names) == len(set(names)) == 1000
    assert all(name == name.strip() != "" for name in names)
    assert choose_labels(1000).reason.startswith("assumed: 1000 classes")
    assert choose_labels(1001)[0] == "background"
    assert len(choose_labels(1001).names) == 1001
    assert choose_labels(3).names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("281", 281),
        (" 0 ", 0),
        ("tabby", 281),
        ("TABBY", 281),
        ("golden retr", 207),
        ("crane", 517),
        ("Crane Bird", 134),
        ("Cardigan", 264),
        ("cardigan", 474),
    ],
)
def test_a_class_is_found_by_number_name_or_unique_part(text, index):
    assert find_label(choose_labels(1000), text) == index


def said(labels: Labels, text: str) -> str:
    with pytest.raises(OptionError) as problem:
        find_label(labels, text)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_an_ambiguous_name_lists_the_indices():
    assert "Cardigan (264), cardigan (474)" in said(choose_labels(1000), "CARDIGAN")
    assert "golden retriever (207)" in said(choose_labels(1000), "retriever")
    assert "crane (0), crane (2)" in said(Labels(("crane", "cat", "crane"), ""), "crane")


def test_a_part_that_fits_many_lists_five():
    message = said(choose_labels(1000), "dog")

    assert message.count("(") == 5
    assert ", ..." in message


def test_an_unknown_name_gets_near_ones():
    assert "near are golden retriever (207)" in said(choose_labels(1000), "golden retreiver")
    assert "classes are 0 to 2, such as cat (0)" in said(Labels(PETS, ""), "zeppelin")


@pytest.mark.parametrize("text", ["", " ", "3", "-1", "9" * 5000, "²", "x" * 100_000])
def test_what_is_neither_index_nor_name_is_refused(text):
    assert len(said(Labels(PETS, ""), text)) < 400


def test_a_number_is_an_index_before_it_is_a_name():
    """Digits as names, shuffled: 2 is the third class; 7 is no index here, so it is the name."""
    digits = Labels(("2", "7", "0"), "")

    assert find_label(digits, "2") == 2
    assert find_label(digits, "7") == 1


def test_one_score_alone_has_the_name_that_its_head_suggests_or_its_own():
    assert choose_labels(1).names == ("score",)
    assert choose_labels(1, single="positive").names == ("positive",)
    assert choose_labels(1, single="positive", metadata={"names": '["cat"]'}).names == ("cat",)
    assert choose_labels(1, metadata={"names": '["cat", "dog"]'}).reason.startswith("no name found for the one score;")
