"""`ddcam models` as users meet it, from a server of this machine."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest
from webserver import Server, broken_off, in_turn, ranged, status, whole

from ddcam import cli
from ddcam.adapters import download
from ddcam.models import cache, catalogue, demo_path, demo_pictures
from ddcam.models.catalogue import find_entry

CONTENT = demo_path("digits_cnn_additive").read_bytes()
DIGITS = replace(
    find_entry("mnist-12"),
    name="digits",
    url="https://host.org/digits.onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    preprocessing={"name": "unit", "fit": "stretch"},
)
ALONE = """
import sys
from dataclasses import replace
from ddcam import cli
from ddcam.models import cache, catalogue
entry = replace(catalogue.find_entry("mnist-12"), name="digits", url="https://host.org/digits.onnx",
                sha256=sys.argv.pop(1), size=int(sys.argv.pop(1)))
cli.catalogue = catalogue.catalogue = lambda: {"digits": entry}
cli.main()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console):
    """Run a command as the console script does; give exit code, stdout and the lines on stderr."""
    for module in (cli, cache, catalogue):
        monkeypatch.setattr(module, "catalogue", lambda: {"digits": DIGITS})
    monkeypatch.setenv("DDCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DDCAM_MIRROR", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download.fetch, "__kwdefaults__", {"timeout": 1.0, "pause": 0.0})
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        code, out, err = console(*arguments)
        return code, out, err.splitlines()

    return run


def test_a_model_is_pulled_listed_found_and_explained(run, server: Server, tmp_path: Path) -> None:
    server.answers["/copy/digits.onnx"] = whole(CONTENT)
    path = tmp_path / "cache" / "models" / "digits" / "digits.onnx"

    assert "digits" in run("models", "list")[1].splitlines()[1]
    code, out, notes = run("models", "pull", "all", "--mirror", f"{server.url}/copy")
    assert (code, out) == (0, f"{path}\n")
    assert all(" kB of digits" in line for line in notes)
    assert run("models", "path", "digits") == (0, f"{path}\n", [])
    assert run("models", "list")[1].splitlines()[1].endswith("yes")
    code, out, _ = run("explain", "zoo:digits", demo_pictures()[0], "-o", "why")
    assert code == 0
    assert "five (5)" in out
    assert run("verify", "why", "zoo:digits", demo_pictures()[0])[0] == 0
    assert json.loads(run("models", "list", "--format", "json")[1])[0]["path"] == str(path)


def test_a_mirror_may_be_set_once_for_all(run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/digits.onnx"] = whole(CONTENT)
    monkeypatch.setenv("DDCAM_MIRROR", server.url)

    assert run("models", "pull", "digits")[0] == 0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(404), "the server answers 404 Not Found"),
        (status(500), "the server answers 500 Internal Server Error"),
        (whole(b"x" * len(CONTENT)), "expected a file with sha256"),
        (whole(CONTENT[:-1]), "another file"),
        (in_turn(broken_off(CONTENT, 10), broken_off(CONTENT, 0)), "10 of"),
    ],
)
def test_what_goes_wrong_is_one_line(run, server: Server, answer, told: str) -> None:
    server.answers["/digits.onnx"] = answer

    code, out, lines = run("models", "pull", "digits", "--mirror", server.url)

    assert (code, out) == (2, "")
    assert told in lines[-1]
    assert lines[-1].startswith("ddcam: ")
    assert not [line for line in lines[:-1] if " kB of digits" not in line]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["models", "pull", "other"], "expected a model of the catalogue, got 'other'; see ddcam models list"),
        (["models", "pull", "../x"], "expected a model of the catalogue, got '../x'"),
        (["models", "pull", "digits", "--mirror", "file:///x"], "expected a mirror like https://host/path"),
        (["models", "path", "digits"], "digits is not on this machine yet; run ddcam models pull digits"),
        (["inspect", "zoo:digits"], "digits is not on this machine yet; run ddcam models pull digits"),
        (["inspect", "zoo:../digits"], "expected a model of the catalogue, got '../digits'"),
        (["models", "pull"], "Missing argument"),
        (["models", "push"], "No such command 'push'"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_leaves_nothing(run, tmp_path: Path, arguments, told: str) -> None:
    code, out, lines = run(*arguments)

    assert (code, out, len(lines)) == (2, "", 1)
    assert told in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_every_subcommand_and_option_has_help() -> None:
    for command in cli.models.commands.values():  # type: ignore[attr-defined]
        assert command.help
        assert all(option.help for option in command.params if isinstance(option, click.Option))


def alone(server: Server, folder: Path) -> subprocess.Popen[str]:
    """Pull in a process of its own, into the folder that `run` uses."""
    command = [sys.executable, "-c", ALONE, DIGITS.sha256, str(len(CONTENT)), "models", "pull", "digits"]
    environment = os.environ | {"DDCAM_CACHE": str(folder / "cache"), "DDCAM_MIRROR": server.url}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_fetch_once(run, server: Server, tmp_path: Path) -> None:
    def slow(handler) -> None:
        time.sleep(0.5)
        ranged(CONTENT)(handler)

    server.answers["/digits.onnx"] = slow
    other = alone(server, tmp_path)
    while not server.asked:
        time.sleep(0.02)
    code, out, _ = run("models", "pull", "digits")  # from a mirror that it need not ask
    ended = other.communicate(timeout=60)

    assert (code, other.returncode) == (0, 0), ended
    assert len(server.asked) == 1
    assert ended[0] == out
    assert Path(out.strip()).read_bytes() == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_is_one_line_and_leaves_a_part_that_is_resumed(run, server: Server, tmp_path: Path) -> None:
    def stalls(handler) -> None:
        broken_off(CONTENT, 1000)(handler)
        handler.wfile.flush()
        server.closing.wait(10)

    server.answers["/digits.onnx"] = in_turn(stalls, ranged(CONTENT))
    part = tmp_path / "cache/models/digits/digits.onnx.part"
    process = alone(server, tmp_path)
    while not server.asked:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors.splitlines()[-1] == "ddcam: interrupted"
    assert "Traceback" not in errors
    assert part.stat().st_size == 1000
    assert run("models", "pull", "digits", "--mirror", server.url)[0] == 0
    assert server.ranges() == [None, "bytes=1000-"]
