"""The examples run as a new user would run them, and explain in at most five lines more than the training takes."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ddcam import open_explanation

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDS = {"torch_resnet": "torch", "keras_cnn": "keras", "sklearn_digits": "skl2onnx"}
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "KERAS_BACKEND": "torch"}
"""One thread: on a busy machine two took twenty times as long."""


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_at_most_five_statements_explain(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    statements = [ast.get_source_segment(source, node) or "" for node in ast.parse(source).body]

    assert len([text for text in statements if re.search("ddcam|explanation", text) and not text.startswith('"')]) <= 5
    assert "ddcam" not in "".join(re.findall(r"^def .*?(?=^\S)", source, re.MULTILINE | re.DOTALL))


@pytest.mark.oracle
@pytest.mark.parametrize("name", NEEDS)
def test_an_example_learns_and_ends_in_an_explanation(name: str, tmp_path: Path) -> None:
    if find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | ALONE, capture_output=True, text=True, check=False, timeout=900
    )

    assert done.returncode == 0, done.stderr
    share = re.search(r"^accuracy on .*: ([\d.]+)%$", done.stdout, re.MULTILINE)
    assert share
    assert float(share[1]) > 80
    assert "certified 1-minimal" in done.stdout
    assert open_explanation(tmp_path / f"{name}.ddcam").manifest["predicate"] == "confidence:0.9"
    assert (tmp_path / f"{name}.ddcam" / "panel.png").is_file()
