"""The programs under examples/embed give, in runtimes that are not Python, what the engine gives."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import posted_by_page
from cpp import COMPILER, LIBRARIES, Program, program_in

import ddcam
from ddcam.engine.explain import at_input
from ddcam.models import demo_path, demo_pictures

EMBED = Path(__file__).parents[1] / "examples" / "embed"
CASES = [("digits_cnn_additive", "confidence:0.9"), ("digits_cnn_interacting", "top1"), ("digits_vit", "top1")]
Results = list[dict[str, list[float]]]


def require(*needed: Path | str) -> None:
    for one in needed:
        there = shutil.which(one) if isinstance(one, str) else one.exists()
        if not there:
            pytest.skip(f"needs {one}; run npm install in examples/embed/node and examples/embed/browser")


@pytest.fixture(params=CASES, ids=lambda case: case[0])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ddcam.Explanation]:
    """Give a folder that prepare.py made, and what the engine says."""
    demo, preserve = request.param
    folder, picture = tmp_path / "prepared", demo_pictures()[1]
    command = [sys.executable, EMBED / "prepare.py", demo_path(demo), picture, folder, "--preserve", preserve]
    subprocess.run(command, check=True, timeout=120)
    return folder, ddcam.explain(ddcam.load(demo_path(demo)), picture, preserve=preserve, search="sweep")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Give the C++ program, built."""
    require("g++")
    if not LIBRARIES:
        pytest.skip("needs a wheel of ONNX Runtime with its shared library")
    known = subprocess.run(
        [*COMPILER, "-E", "-x", "c++", "-"],
        input="#include <onnxruntime_cxx_api.h>", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if known.returncode:
        pytest.skip("needs ONNX Runtime's C++ headers; .ci/headers fetches them for CPLUS_INCLUDE_PATH")
    program = program_in(tmp_path_factory.mktemp("cpp"))
    done = subprocess.run(program.build, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return program


def require_same(results: Results, expected: ddcam.Explanation, demo: str) -> None:
    [found] = results
    model = ddcam.load(demo_path(demo))
    want = at_input(expected.attribution.grid_map, model.split, model.opened.preprocessing)
    assert tuple(np.flatnonzero(found["units"])) == expected.attribution.subset
    assert found["sufficient"] == found["minimal"] == [1]
    np.testing.assert_allclose(np.reshape(found["saliency_map"], want.shape), want, atol=1e-4)


def test_node(prepared: tuple[Path, ddcam.Explanation], request: pytest.FixtureRequest) -> None:
    require("node", EMBED / "node" / "node_modules")
    folder, expected = prepared
    done = subprocess.run(
        ["node", EMBED / "node" / "explain.mjs", folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected.target.label)
    require_same(json.loads((folder / "result.json").read_text()), expected, request.node.callspec.id)


def test_node_says_what_it_expects() -> None:
    require("node", EMBED / "node" / "node_modules")
    done = subprocess.run(
        ["node", EMBED / "node" / "explain.mjs"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a folder that prepare.py made" in done.stderr


def test_browser(prepared: tuple[Path, ddcam.Explanation], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    require("chromium", EMBED / "browser" / "node_modules")
    folder, expected = prepared
    found = posted_by_page(EMBED / "browser", folder, screenshot=tmp_path / "page.png")
    require_same(found, expected, request.node.callspec.id)


def test_cpp(prepared: tuple[Path, ddcam.Explanation], program: Program, request: pytest.FixtureRequest) -> None:
    folder, expected = prepared
    shape = json.loads((folder / "about.json").read_text())["shape"]
    command = [program.file, folder, *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=program.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(expected.attribution.subset or ())} of {expected.split.count} units suffice\n"
    types = {"units": np.float32, "saliency_map": np.float32, "sufficient": np.bool_, "minimal": np.bool_}
    found = {name: np.fromfile(folder / f"{name}.bin", kind).tolist() for name, kind in types.items()}
    require_same([found], expected, request.node.callspec.id)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [([], "expected a folder that prepare.py made"), (["nowhere", "1", "1", "32", "32"], "explained.onnx")],
)
def test_cpp_says_what_it_expects(program: Program, asked: list[str], expected: str) -> None:
    done = subprocess.run(
        [program.file, *asked], capture_output=True, text=True, timeout=60, check=False, env=program.environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
