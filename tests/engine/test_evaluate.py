"""Methods on a data set: the numbers, going on after an end, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddcam
from ddcam import open_image
from ddcam.engine.dataset import Dataset, Sample
from ddcam.engine.errors import OptionError, OutputError, PictureError
from ddcam.engine.evaluate import ROWS, Plan, evaluate, restart
from ddcam.engine.journal import rows_of
from ddcam.engine.metrics import METRICS, Metric
from ddcam.engine.metrics.registry import MetricFacts
from ddcam.engine.results import results, write_results
from ddcam.engine.types import Picture
from ddcam.models import demo_path, demo_pictures

MODEL = demo_path("digits_cnn_interacting")
BOX = (2.0, 2.0, 6.0, 6.0)
PLAN = Plan(("dd-cam", "grad-cam", "attention-rollout"), ("insertion", "coherency", "energy", "pointing-game"))


def broken() -> Picture:
    raise PictureError("expected a picture, got something else")


def digits(*more: Sample) -> Dataset:
    samples = [Sample(p.stem, lambda p=p: open_image(p), p.stem.split("_")[0], (BOX,)) for p in demo_pictures()]
    return Dataset((*samples, *more), (), "digits")


def run(folder: Path, plan: Plan = PLAN, data: Dataset | None = None) -> dict[str, Any]:
    for _ in evaluate(MODEL, data or digits(), plan, folder):
        pass
    return results(folder).summary


def test_every_picture_and_method_has_a_row_with_every_metric(tmp_path: Path) -> None:
    found = run(tmp_path)
    rows = rows_of(tmp_path / ROWS)

    assert len(rows) == len(demo_pictures()) * 3
    assert all(set(row["values"]) == set(PLAN.metrics) for row in rows if "values" in row)
    assert all(None not in row["values"].values() for row in rows if row["method"] == "grad-cam")
    assert [told["method"] for told in found["methods"]] == list(PLAN.methods)


def test_a_method_that_refuses_has_the_reason_in_its_rows(tmp_path: Path) -> None:
    found = run(tmp_path, replace(PLAN, limit=2))
    rollout = found["methods"][2]

    assert (rollout["maps"], rollout["refused"]) == (0, 2)
    assert rollout["refusals"][0][1] == 2
    assert "attention" in rollout["refusals"][0][0]


def test_a_picture_that_cannot_be_opened_is_skipped_and_told(tmp_path: Path) -> None:
    found = run(tmp_path, data=digits(Sample("broken", broken, "five")))

    assert found["skipped"] == {"broken": "expected a picture, got something else"}
    assert found["pictures"] == len(demo_pictures())


def test_a_box_counts_only_for_the_class_that_it_is_of(tmp_path: Path) -> None:
    wrong = [replace(sample, label="nine") for sample in digits().samples]
    found = run(tmp_path, data=Dataset(tuple(wrong), (), "digits"))

    assert found["methods"][0]["metrics"]["energy"]["mean"] is None
    assert found["methods"][0]["metrics"]["insertion"]["mean"]["count"] == len(wrong)


def test_boxes_count_where_the_labels_are_not_the_models(tmp_path: Path) -> None:
    other = [replace(sample, label="unicorn") for sample in digits().samples]
    found = run(tmp_path, data=Dataset(tuple(other), (), "digits"))

    assert found["methods"][0]["metrics"]["energy"]["mean"]["count"] == len(other)


def test_the_true_class_is_explained_where_that_is_asked(tmp_path: Path) -> None:
    wrong = tuple(replace(sample, label="nine") for sample in digits().samples)
    run(tmp_path, replace(PLAN, explain="label"), Dataset(wrong, (), "digits"))

    assert {row["label"] for row in rows_of(tmp_path / ROWS)} == {"nine"}


def test_going_on_after_an_end_gives_the_same_numbers(tmp_path: Path) -> None:
    expected = run(tmp_path / "whole")
    steps = evaluate(MODEL, digits(), PLAN, tmp_path / "parts")
    for _ in range(6):
        next(steps)
    steps.close()
    rows = tmp_path / "parts" / ROWS
    rows.write_bytes(rows.read_bytes() + b'{"picture": "fi')

    assert len(rows_of(rows)) == 4
    assert run(tmp_path / "parts") == expected


def test_more_methods_and_pictures_go_on_in_the_same_folder(tmp_path: Path) -> None:
    run(tmp_path, replace(PLAN, methods=("dd-cam",), limit=2))
    grown = run(tmp_path)

    assert grown["methods"] == run(tmp_path / "at once")["methods"]


def test_another_question_is_not_mixed_into_a_run(tmp_path: Path) -> None:
    run(tmp_path, replace(PLAN, limit=1))

    with pytest.raises(OutputError, match="holds a run with seed 0, and this one has 1"):
        run(tmp_path, replace(PLAN, seed=1))
    restart(tmp_path)
    assert run(tmp_path, replace(PLAN, seed=1, limit=1))["pictures"] == 1


def test_only_a_run_is_restarted(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")

    with pytest.raises(OutputError, match=r"holds no plan\.json"):
        restart(tmp_path)


def test_metrics_that_need_boxes_are_refused_where_no_picture_has_one(tmp_path: Path) -> None:
    bare = Dataset(tuple(replace(sample, boxes=()) for sample in digits().samples), (), "digits")

    with pytest.raises(OptionError, match="energy needs boxes"):
        run(tmp_path, data=bare)


def test_a_run_with_shuffled_weights_and_mosaics_runs_what_metrics_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def look(saliency: Any, case: Any) -> float:
        seen["shuffled"] = case.explain_randomised()
        seen["other"] = case.explain_class(0)
        seen["mosaic"] = case.mosaic and (case.mosaic.explain(), case.mosaic.cell)
        seen["own"] = saliency
        return 0.5

    facts = MetricFacts("faithfulness", "higher", "none", "none", ("mosaic",))
    monkeypatch.setitem(METRICS, "look", Metric("look", look, "", facts, {}))
    run(tmp_path, Plan(("grad-cam",), ("look",), limit=1))

    assert {seen[name].shape for name in ("shuffled", "other", "own")} == {seen["own"].shape}
    assert not np.allclose(seen["shuffled"], seen["own"])
    assert not np.allclose(seen["other"], seen["own"])
    assert seen["mosaic"][0].shape == seen["mosaic"][1].shape == seen["own"].shape


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    expected = run(tmp_path / "whole")
    table = tmp_path / "digits.csv"
    lines = [f"{path},{path.stem.split('_')[0]},2 2 6 6" for path in demo_pictures()]
    table.write_text("\n".join(["path,label,boxes", *lines]))
    command = [sys.executable, "-m", "ddcam.cli", "evaluate", str(MODEL), str(table), "-o", str(tmp_path / "killed")]
    command += ["--methods", ",".join(PLAN.methods), "--metrics", ",".join(PLAN.metrics)]
    rows = tmp_path / "killed" / ROWS
    for least in (2, 7):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and (not rows.exists() or rows.read_bytes().count(b"\n") < least):
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True, capture_output=True)

    found = results(tmp_path / "killed").summary
    assert found["pictures"] == expected["pictures"]
    means = [{m: told["metrics"][m]["mean"]["mean"] for m in PLAN.metrics} for told in found["methods"][:2]]
    wanted = [{m: told["metrics"][m]["mean"]["mean"] for m in PLAN.metrics} for told in expected["methods"][:2]]
    for one, other in zip(means, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-12)


def test_the_report_stands_alone_and_tells_the_means(tmp_path: Path) -> None:
    run(tmp_path, replace(PLAN, against="grad-cam"))
    found = results(tmp_path)
    write_results(found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert page.count("<svg") == len(PLAN.metrics)
    mean = found.mean("dd-cam", "insertion")
    assert mean is not None
    assert f"{mean.mean:.3g}" in page
    shown = next(path for path in demo_pictures() if path.stem == found.pictures[0])
    told = ddcam.explain(ddcam.load(MODEL), shown, preserve="confidence:0.9")
    assert f"<p>{escape(told.text)}</p>" in page
    assert json.loads((tmp_path / "summary.json").read_text())["baseline"] == "grad-cam"
    assert (tmp_path / "results.csv").read_text().count("\n") == 1 + len(demo_pictures()) * 3


def test_a_file_name_that_is_no_utf_8_is_measured_once_and_written_escaped(tmp_path: Path) -> None:
    [first, *_] = digits().samples
    odd = Dataset((replace(first, name="\udcff.png"),), (), "digits")
    run(tmp_path, data=odd)
    run(tmp_path, data=odd)
    write_results(results(tmp_path))

    assert len(rows_of(tmp_path / ROWS)) == len(PLAN.methods)
    assert "\\udcff.png" in (tmp_path / "results.csv").read_text(encoding="utf-8")


def test_names_of_pictures_cannot_write_html(tmp_path: Path) -> None:
    evil = tuple(replace(sample, name=f"<script>alert({i})</script>") for i, sample in enumerate(digits().samples))
    run(tmp_path, replace(PLAN, limit=2), Dataset(evil, (), "<b>digits</b>"))
    write_results(results(tmp_path))

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<b>digits</b>" not in page
