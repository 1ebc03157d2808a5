"""Places where nothing can be written, or where something of someone else would be overwritten."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A folder that holds something else."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("do not lose me")
    return tmp_path / "taken"


@pytest.mark.parametrize("command", ["explain", "compare", "split", "demo"])
def test_a_folder_that_exists(refused, digits: Path, digit: Path, taken: Path, command: str) -> None:
    arguments = {"split": [digits], "demo": []}.get(command, [digits, digit])
    (taken / "digits_cnn_additive" / "five_0").mkdir(parents=True)

    refused(command, *arguments, "-o", "taken", names="exists already; choose another -o")


@pytest.mark.parametrize("command", ["explain", "compare", "split"])
def test_force_spares_what_is_not_ours(refused, digits: Path, digit: Path, taken: Path, command: str) -> None:
    arguments = {"split": [digits]}.get(command, [digits, digit])

    refused(command, *arguments, "-o", "taken", "--force", names="--force does not overwrite it")
    assert (taken / "thesis.txt").read_text() == "do not lose me"


def test_force_spares_a_file(refused, digits: Path, digit: Path, taken: Path) -> None:
    refused("explain", digits, digit, "-o", "taken/thesis.txt", "--force", names="--force does not overwrite it")


def test_force_spares_what_a_link_leads_to(refused, ddcam, digits: Path, digit: Path, tmp_path: Path) -> None:
    ddcam("explain", digits, digit, "-o", "real")
    (tmp_path / "link").symlink_to("real")

    refused("explain", digits, digit, "-o", "link", "--force", names="--force does not overwrite it")


def test_force_replaces_an_explanation(ddcam, digits: Path, digit: Path, tmp_path: Path) -> None:
    for picture in (digit, digit.with_name("six_0.png")):
        assert ddcam("explain", digits, picture, "-o", "out", "--force")[0] == 0

    assert "six" in (tmp_path / "out" / "manifest.json").read_text()
    assert os.listdir(tmp_path) == ["out"]


def test_force_replaces_a_comparison_and_spares_an_explanation(
    ddcam, digits: Path, digit: Path, tmp_path: Path
) -> None:
    asked = ("compare", digits, digit, "--methods", "fem", "--force")
    assert [ddcam(*asked, "-o", "out")[0] for _ in range(2)] == [0, 0]
    ddcam("explain", digits, digit, "-o", "why")
    code, out, lines = ddcam(*asked, "-o", "why")

    assert (code, out, len(lines)) == (2, "", 1)
    assert "holds no compare.csv, so --force does not overwrite it" in lines[0]
    assert (tmp_path / "why" / "manifest.json").is_file()


def test_force_replaces_the_folder_that_one_stands_in(ddcam, digits: Path, digit: Path, tmp_path: Path) -> None:
    ddcam("explain", digits, digit, "-o", "out")

    done = shell(f"ddcam explain {digits} {digit.with_name('six_0.png')} -o . --force", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert "six" in (tmp_path / "out" / "manifest.json").read_text()


@pytest.mark.parametrize("name", ["taken/thesis.txt/out", "taken/thesis.txt/a/b"])
def test_a_parent_that_is_a_file(refused, digits: Path, digit: Path, taken: Path, name: str) -> None:
    refused("explain", digits, digit, "-o", name, names="thesis.txt is not a folder")


def test_a_name_too_long(refused, digits: Path, digit: Path) -> None:
    refused("explain", digits, digit, "-o", "a" * 300, names="too long")


TAKEN = {
    "taken": r"taken exists and holds no plan.json; choose another -o",
    "taken/thesis.txt": "exists and holds no plan.json",
    "taken/thesis.txt/out": "thesis.txt is not a folder",
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_batch_spares_what_is_not_its_own(
    refused, digits: Path, digit: Path, taken: Path, name: str, force: tuple[str, ...]
) -> None:
    refused("batch", digits, digit.parent, "--format", "jsonl", "-o", name, *force, names=TAKEN[name])
    assert (taken / "thesis.txt").read_text() == "do not lose me"


def test_one_taken_folder_among_several(ddcam, digits: Path, digit: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "two_0").mkdir(parents=True)

    code, out, lines = ddcam("explain", digits, digit, digit.with_name("six_0.png"), "-o", "out")

    assert code == 1
    assert out.startswith("six_0.png: ")
    assert lines[0].startswith(f"ddcam: {digit}: out/two_0 exists already")
    assert len(lines) == 2


FULL = [("explain", "numpy.save"), ("explain", "pathlib.Path.write_bytes"), ("explain", "pathlib.Path.write_text")]
FULL += [("split", "numpy.save"), ("split", "pathlib.Path.write_bytes")]


@pytest.mark.parametrize(("command", "place"), FULL)
def test_a_full_disk(
    refused, digits: Path, digit: Path, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    """Wherever the disk turns out to be full, one line says so, and nothing is left."""
    monkeypatch.setattr(place, full)
    arguments = {"explain": [digits, digit], "split": [digits]}[command]

    line = refused(command, *arguments, "-o", "out", names="No space left on device")

    assert line.startswith("ddcam: cannot write ")


def test_a_disk_that_is_full_when_a_comparison_is_written(
    ddcam, digits: Path, digit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted of the methods until then stays; one line more says so, and nothing is left."""
    monkeypatch.setattr("ddcam.engine.comparison_file.png_bytes", full)
    code, out, lines = ddcam("compare", digits, digit, "--methods", "fem", "-o", "out")

    assert (code, out, lines[0]) == (2, "", "two_0.png: 1/1 fem (1 forward)")
    assert lines[1:] == [f"ddcam: cannot write {tmp_path / 'out'}: No space left on device"]
    assert not os.listdir(tmp_path)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_old_explanation_survives_a_full_disk(
    ddcam, digits: Path, digit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddcam("explain", digits, digit, "-o", "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    monkeypatch.setattr("pathlib.Path.write_text", full)

    assert ddcam("explain", digits, digit, "-o", "out", "--force")[0] == 2
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_made_readable_for_others(ddcam, digits: Path, digit: Path, tmp_path: Path) -> None:
    """Temporary folders are private; what becomes of one must not be."""
    ddcam("explain", digits, digit, "-o", "out")

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which `ddcam` is the command under test."""
    script = f'ddcam() {{ "{sys.executable}" -m ddcam.cli "$@"; }}; {command}'
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_standard_output_on_a_full_disk(digits: Path, tmp_path: Path) -> None:
    done = shell(f"ddcam inspect {digits} > /dev/full", tmp_path)

    assert done.returncode == 2
    assert done.stderr == "ddcam: cannot read or write the output: No space left on device\n"


def test_a_reader_that_goes_away(digits: Path, tmp_path: Path) -> None:
    """A pager that is left early is no reason to complain."""
    done = shell(f"ddcam inspect {digits} --json | true; exit ${{PIPESTATUS[0]}}", tmp_path)

    assert done.stderr == ""


def test_the_console_script_says_the_same(tmp_path: Path) -> None:
    done = shell("ddcam explain nowhere.onnx picture.png", tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "ddcam: expected a picture file, a folder or a pattern that matches files, found nothing "
        "at 'picture.png'; check the name\n"
    )


def test_an_unwritable_scratch_folder(
    refused, digits: Path, digit: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial run writes the model to a temporary file."""
    monkeypatch.setattr(tempfile, "tempdir", str(picture))

    refused("explain", digits, digit, names="set TMPDIR")
