"""`ddcam inspect --strict` prints a table, and its exit code sums it up."""

import json

import pytest

from ddcam.engine import strict
from ddcam.models import demo_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, console):
    few = ("dd-cam", "grad-cam", "craft", "attention-rollout")
    monkeypatch.setattr(strict, "METHODS", {name: strict.METHODS[name] for name in few})

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        code, out, err = console("inspect", "--strict", *arguments)
        return code, out, err.splitlines()

    return run


def test_a_table_and_what_is_tried_meanwhile(run) -> None:
    code, out, notes = run(demo_path("digits_cnn_additive"))

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["what", "result", "why"]
    assert "dd-cam by channel" in out
    assert notes[0] == "trying dd-cam by channel"
    assert "trying grad-cam" in notes


def test_json_and_a_refusal(run) -> None:
    code, out, _ = run("--json", "--split", "nowhere", demo_path("digits_cnn_additive"))

    rows = {row["what"]: row for row in json.loads(out)}
    assert code == 1
    assert rows["split"]["result"] == "refused"
    assert "nowhere" in rows["split"]["why"]
    assert rows["dd-cam by patch"]["result"] == "works"


def test_what_is_no_model_is_one_line(run, tmp_path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no")

    code, out, notes = run(tmp_path / "no.onnx")

    assert (code, out, len(notes)) == (2, "", 1)
    assert notes[0].startswith("ddcam: ")
