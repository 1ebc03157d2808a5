"""The command line: what it prints, what it writes, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ddcam
from ddcam.cli import main
from ddcam.models import demo_path, demo_pictures

MODEL = str(demo_path("digits_cnn_interacting"))
PICTURES = [str(path) for path in demo_pictures()]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ddcam", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_explain_prints_a_sentence_and_writes_a_folder_named_after_the_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = run(monkeypatch, "explain", MODEL, PICTURES[0])
    printed = capsys.readouterr()

    assert code == 0
    assert printed.out.startswith("five_0.png: five (5), probability")
    summary, text = printed.out.splitlines()
    stored = json.loads((tmp_path / "five_0.ddcam" / "manifest.json").read_text(encoding="utf-8"))
    assert (summary, text) == (f"five_0.png: {stored['sentence']}", f"  {stored['text']}")
    assert text.startswith("  The model decides for five (")
    assert "preprocessing unit:" in printed.err
    assert (tmp_path / "five_0.ddcam" / "manifest.json").is_file()


def test_several_pictures_get_a_sub_folder_each_and_one_bad_one_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code = run(monkeypatch, "explain", MODEL, PICTURES[0], tmp_path / "broken.png", PICTURES[1], "-o", "all")
    printed = capsys.readouterr()

    assert code == 1
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["five_0", "four_0"]
    assert len([line for line in printed.err.splitlines() if "broken.png" in line]) == 1
    assert len(printed.out.splitlines()) == 4


def test_pictures_of_the_same_name_do_not_overwrite_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "five_0.png").write_bytes(Path(PICTURES[1]).read_bytes())
    run(monkeypatch, "explain", MODEL, PICTURES[0], tmp_path / "other" / "five_0.png", "-o", "all")

    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["five_0", "five_0-2"]


def test_json_prints_the_manifest_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(monkeypatch, "explain", MODEL, *PICTURES[:2], "--json", "-o", "all")
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]

    assert not printed.err
    assert [line["target"]["label"] for line in lines] == ["five", "four"]
    stored = json.loads((tmp_path / "all" / "five_0" / "manifest.json").read_text(encoding="utf-8"))
    assert {key: value for key, value in lines[0].items() if key != "folder"} == {
        key: value for key, value in stored.items() if key != "files"
    }


def test_verify_needs_no_picture_when_arrays_were_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "explain", MODEL, PICTURES[0], "--keep-arrays", "-o", "kept")
    run(monkeypatch, "explain", MODEL, PICTURES[0], "-o", "bare")
    capsys.readouterr()

    assert run(monkeypatch, "verify", "kept", MODEL) == 0
    assert capsys.readouterr().out.startswith("verified: the subset keeps the decision")
    assert run(monkeypatch, "verify", "bare", MODEL) == 2
    assert "give the picture" in capsys.readouterr().err
    assert run(monkeypatch, "verify", "bare", MODEL, PICTURES[0]) == 0


def test_split_writes_two_files_that_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "split", MODEL, "-o", "parts") == 0
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["backbone.onnx", "head.onnx"]
    assert run(monkeypatch, "split", MODEL, "-o", "parts") == 2
    assert run(monkeypatch, "split", MODEL, "-o", "parts", "--force") == 0


def test_inspect_says_where_and_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "inspect", MODEL) == 0
    text = capsys.readouterr().out
    assert run(monkeypatch, "inspect", MODEL, "--json") == 0
    report = json.loads(capsys.readouterr().out)

    for said in ("opset:", "layout:", "split:", "the last feature map before the classifier layer", "interacting"):
        assert said in text
    assert report["units"] == {"kind": "channel", "count": 32}
    assert report["split"]["tensor"] in [c["tensor"] for c in report["candidates"]]


def test_version_and_module_form_agree() -> None:
    done = subprocess.run([sys.executable, "-m", "ddcam.cli", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"ddcam, version {ddcam.__version__}"


def test_options_reach_the_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--mean", "0.5", "--std", "0.25", "--units", "cell", "--threads", "1", "--batch", "3", "--size", "32x32"]
    code = run(monkeypatch, "explain", MODEL, PICTURES[0], *asked, "--json", "--target", "five", "--search", "units")
    found = json.loads(capsys.readouterr().out)

    assert code == 0
    assert found["preprocessing"]["mean"] == [0.5]
    assert found["units"]["kind"] == "cell"
    assert found["head"]["batch"] == "3"
    assert found["search"].startswith("units")


def test_the_best_preset_draws_nested_cells_which_claim_nothing_to_verify(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "explain", MODEL, PICTURES[0], "--preset", "best", "--json", "-o", "map") == 0
    told = json.loads(capsys.readouterr().out)

    assert (told["method"], told["units"]["kind"], told["subset"]) == ("nested", "cell", None)
    assert run(monkeypatch, "verify", "map", MODEL, PICTURES[0]) == 2
    assert "there is nothing to verify" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--search", "minimum"), "minimum, proven"),
        (("--count", 2), "1 further answers"),
        (("--necessary",), "without "),
        (("--probes", 1, "--preserve", "confidence:0.9"), "certified"),
    ],
)
def test_other_questions_are_answered_and_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], sentence: str
) -> None:
    model = demo_path("digits_cnn_additive")

    assert run(monkeypatch, "explain", model, PICTURES[0], "-o", "why", *options) == 0
    assert sentence in capsys.readouterr().out
    assert run(monkeypatch, "verify", "why", model, PICTURES[0]) == 0
    assert capsys.readouterr().out.startswith("verified: ")


# ----- evaluate -----


def digits_table(folder: Path) -> Path:
    lines = [f"{path},{Path(path).stem.split('_')[0]},2 2 6 6" for path in PICTURES]
    file = folder / "digits.csv"
    file.write_text("\n".join(["path,label,boxes", *lines]), encoding="utf-8")
    return file


def test_evaluate_prints_means_and_writes_tables_and_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = digits_table(tmp_path)
    code = run(monkeypatch, "evaluate", MODEL, table, "--methods", "dd-cam,grad-cam", "--metrics", "deletion,energy",
               "--limit", 3, "--against", "grad-cam", "-o", "out")  # fmt: skip
    printed = capsys.readouterr()

    assert code == 0
    assert printed.out.splitlines()[0].split() == ["method", "maps", "refused", "blank", "deletion", "energy"]
    assert [line.split()[:2] for line in printed.out.splitlines()[1:]] == [["dd-cam", "3"], ["grad-cam", "3"]]
    assert "6 of 6 rows" in printed.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"plan.json", "rows.jsonl", "results.csv", "summary.csv", "summary.json", "report.html"} <= names


def test_evaluate_goes_on_where_it_stopped_and_begins_again_when_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["evaluate", MODEL, digits_table(tmp_path), "--methods", "grad-cam", "--metrics", "complexity", "-o", "out"]
    run(monkeypatch, *asked, "--limit", 2)
    before = (tmp_path / "out" / "rows.jsonl").read_text()
    run(monkeypatch, *asked)
    whole = (tmp_path / "out" / "rows.jsonl").read_text()
    capsys.readouterr()
    run(monkeypatch, *asked, "--limit", 2, "--force", "--json")

    assert whole.startswith(before)
    assert whole.count("\n") == len(PICTURES)
    assert (tmp_path / "out" / "rows.jsonl").read_text() == before
    assert json.loads(capsys.readouterr().out)["pictures"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "grad-cam,grad-cat"], "unknown method 'grad-cat'; did you mean grad-cam?"),
        (["--metrics", "insertoin"], "unknown metric 'insertoin'; did you mean insertion?"),
        (["--metrics", "insertion:steps=3"], "metric insertion has no option 'steps'"),
        (["--methods", ","], "expected methods with commas between them"),
        (["--against", "rise"], "expected a method out of grad-cam to compare with"),
        (["--preserve", "most"], "most"),
        (["--limit", "0"], "--limit"),
        (["--format", "zip"], "--format"),
    ],
)
def test_evaluate_refuses_what_is_wrong_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    table = digits_table(tmp_path)
    code = run(monkeypatch, "evaluate", MODEL, table, "--methods", "grad-cam", "--limit", "1", *arguments)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ddcam: ")]

    assert code == 2
    assert message in line


@pytest.mark.parametrize(("command", "names"), [("methods", ddcam.engine.METHODS), ("metrics", ddcam.engine.METRICS)])
def test_a_catalogue_prints_every_entry_in_every_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, names: dict[str, object]
) -> None:
    printed = {}
    for form in ("text", "json", "markdown", "guide"):
        assert run(monkeypatch, command, "--format", form) == 0
        printed[form] = capsys.readouterr().out

    assert [row[command[:-1]] for row in json.loads(printed["json"])] == list(names)
    assert [line.split()[0] for line in printed["text"].splitlines()[1:]] == list(names)
    assert [line.split()[1] for line in printed["markdown"].splitlines()[2:]] == list(names)
    assert [line[3:] for line in printed["guide"].splitlines() if line.startswith("## ")] == list(names)


# ----- compare -----


def test_compare_prints_a_table_and_writes_a_sheet_named_after_the_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = run(monkeypatch, "compare", MODEL, PICTURES[0], "--methods", "dd-cam,attention-rollout,grad-cam")
    printed = capsys.readouterr()
    lines = printed.out.splitlines()

    assert code == 0
    assert lines[0].startswith("five_0.png: five (5), probability")
    assert [line.split()[0] for line in lines[1:]] == ["method", "dd-cam", "attention-rollout", "grad-cam"]
    assert "no attention between tokens" in lines[3]
    assert "five_0.png: 2/3 attention-rollout (1 forward)" in printed.err
    files = {path.name for path in (tmp_path / "five_0.compare").iterdir()}
    assert files == {"sheet.png", "compare.csv", "agreement.csv"}


def test_compare_of_several_pictures_loads_once_and_reports_a_bad_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    asked = ("--methods", "grad-cam,eigen-cam", "--agreement", "-o", "all")
    code = run(monkeypatch, "compare", MODEL, PICTURES[0], tmp_path / "broken.png", PICTURES[1], *asked)
    printed = capsys.readouterr()

    assert code == 1
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["five_0", "four_0"]
    assert len([line for line in printed.err.splitlines() if "broken.png" in line]) == 1
    assert len([line for line in printed.out.splitlines() if line.startswith("1 grad-cam ")]) == 2


def test_compare_as_json_is_an_object_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--methods", "all:search", "--json", "--preserve", "confidence:0.9", "--target", "five", "-o", "all")
    run(monkeypatch, "compare", MODEL, *PICTURES[:1], *asked)
    told = json.loads(capsys.readouterr().out)

    assert told["predicate"] == "confidence:0.9"
    assert [row["method"] for row in told["methods"]] == ["dd-cam", "nested", "shapley"]
    assert told["agreement"]["spearman"][0][0] == pytest.approx(1)
    assert told["folder"] == "all"
