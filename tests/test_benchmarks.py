"""The benchmark scripts still run: each on one small model and one picture, with what it prints looked at."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MODEL = "digits_cnn_additive"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a data folder of one model and one picture, and let scripts import their neighbours."""
    pictures = tmp_path / "images" / "imagenet-val160"
    pictures.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "models" / "pictures" / "five_0.png", pictures)
    shutil.copy(ROOT / "models" / f"{MODEL}.onnx", tmp_path / "models")
    entry = {"name": f"{MODEL}.onnx", "ds": "in", "pre": "unit"}
    (tmp_path / "models" / "manifest.json").write_text(json.dumps([entry]), encoding="utf-8")
    monkeypatch.setenv("DDCAM_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return tmp_path


def script(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ModuleType:
    """Import a script with its command line set; main() is for the caller to start."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    module = ModuleType(name)
    vars(module).update(runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name=name))
    return module


def cells(printed: str, first: str) -> list[list[str]]:
    """Return the cells of the table lines that begin with a word."""
    lines = (line for line in printed.splitlines() if line.startswith(f"| {first}"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_search_prints_every_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import growth  # noqa: PLC0415 - beside the script, found only while the test runs

    monkeypatch.setattr(growth, "UNITS", (4, 8))
    monkeypatch.setattr(growth, "CLASSES", (3, 4, 5))
    monkeypatch.setattr(growth, "BATCHES", (1, 2, 4))
    main = script("search", monkeypatch, "--pictures", "1", MODEL).main
    monkeypatch.setitem(main.__globals__, "apart", lambda work, subject, device: work(subject, device))
    main()
    printed = capsys.readouterr().out
    costs, reference, memory, searches = (cells(part, MODEL) for part in printed.split("\n## ")[1:5])
    assert [line[4] for line in costs] == ["top1", "confidence:0.9"]
    assert all(line[5] == "1 of 1" and float(line[6]) > 0 for line in costs)
    assert all(line[-1].endswith("same") for line in reference)
    assert [line[2] for line in reference] == [line[12] for line in costs]
    assert 0.01 < float(memory[0][2]) < 100
    assert len(searches) == 2
    assert all(cell.count(" / ") == 2 for line in searches for cell in line[2:])
    assert [len(cells(printed, head)) for head in ("additive", "mlp")] == [4, 6]


def test_certified_counts_every_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = script("certified", monkeypatch, "--pictures", "1").main
    monkeypatch.setitem(main.__globals__, "BATCHES", (64, 1))
    monkeypatch.setitem(main.__globals__, "THREADS", (1,))
    main()
    printed = capsys.readouterr().out
    total = 2 * len(main.__globals__["SEARCHES"])
    assert cells(printed, "all") == [["all", *map(str, (total, total, total, 0, 0, 0))]]


def test_minimum_is_never_larger_than_what_another_search_keeps(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script("minimum", monkeypatch, "--pictures", "1", MODEL).main()
    for line in cells(capsys.readouterr().out, MODEL):
        assert line[2:5] == ["1", "1 (100%)", "0"]
        assert line[-1] == "0"
        assert all(float(kept) >= float(line[7]) for kept in line[8:-1])


def test_explain_cost_and_compatibility_print_a_line_per_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("explain_cost", "compatibility"):
        script(name, monkeypatch).main()
        (line,) = cells(capsys.readouterr().out, MODEL)
        assert "refused" not in " ".join(line)


def test_masking_inside_the_whole_model_gives_what_the_head_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from measure import Bench  # noqa: PLC0415
    from subjects import real_models  # noqa: PLC0415

    from ddcam.engine.graph.cut import MASK  # noqa: PLC0415

    bench = Bench(real_models(1)[0], "cpu")
    mask = (np.arange(bench.model.split.count) % 2 == 0).astype(np.float32)[None]
    inputs = bench.inputs[0]
    whole = bench.whole.run({bench.model.opened.picture.name: inputs, MASK: mask})[0]
    head = bench.model.bind_alone(bench.model.features(inputs)).score(mask)
    np.testing.assert_allclose(whole, head, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_serve_answers_every_good_request_under_load(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(folder / "models" / f"{MODEL}.onnx")
    script("serve", monkeypatch, "--seconds", "2", "--clients", "6", "--model", model).main()
    printed = capsys.readouterr()
    assert printed.err == ""
    [steady] = cells(printed.out, "2 ")
    assert int(steady[3]) > 0
    assert (steady[4], steady[6]) == ("0", "0")
    assert float(steady[9]) >= 1  # how many come together is the machine's doing: test_serve_limits forces batches
    assert [line[3] for line in cells(printed.out, "alone")] == ["1.00"]
