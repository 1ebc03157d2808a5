"""An adapter whose library is missing says what to install; nothing imports one that is not asked for."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SETTINGS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
LIBRARIES = {"torch": "torch", "keras": "keras", "sklearn": "skl2onnx", "serve": "starlette", "ray": "ray"}
"""What an adapter cannot do without."""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("adapter", LIBRARIES)
def test_a_missing_library_is_named_with_its_extra(adapter: str) -> None:
    code = f"""
import sys
sys.modules[{LIBRARIES[adapter]!r}] = None  # what is not installed raises the same ImportError
import ddcam
try:
    import ddcam.adapters.{adapter}
except ddcam.DdcamError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    told = python(code)

    assert "\n" not in told
    assert told.startswith(f"ddcam.adapters.{adapter} needs ")
    assert told.endswith(f'; pip install "ddcam[{adapter}]"')
    assert adapter in SETTINGS["project"]["optional-dependencies"]


def test_ddcam_imports_no_adapter_of_a_library() -> None:
    code = "import sys, ddcam, ddcam.cli; print([n for n in sys.modules if n.startswith('ddcam.adapters.')])"

    assert set(eval(python(code))) & {f"ddcam.adapters.{adapter}" for adapter in LIBRARIES} == set()
