"""The dependency rule: imports stay in their folder or point down, and heavy packages stay in their places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"engine/chosen.py"},
    {"engine/types.py", "engine/errors.py", "engine/lock.py"},
    {"engine/answer.py"},
    {"engine/graph", "engine/runtime", "engine/search", "engine/preprocess", "engine/labels.py", "engine/atomic.py"},
    {"engine/named.py", "engine/csv_text.py", "engine/dataset.py", "engine/journal.py", "engine/statistics.py"},
    {"engine/chosen_file.py"},
    {"engine/reading.py"},
    {"engine/autodiff", "engine/saliency.py", "engine/baseline.py", "engine/superpixels.py", "engine/total_indices.py"},
    {"engine/check.py", "engine/slopes.py"},
    {"engine/open_model.py", "engine/ingraph"},
    {"engine/head.py", "engine/detector.py", "engine/region.py", "engine/preserved.py", "engine/ranked.py"},
    {"engine/whole.py", "engine/centring.py"},
    {"engine/plausible.py"},
    {"engine/formulas.py"},
    {"engine/probes"},
    {"engine/order.py", "engine/pictures.py"},
    {"engine/model.py"},
    {"engine/problem.py", "engine/choose.py", "engine/exported.py", "engine/features.py", "engine/fitted"},
    {"engine/own_outputs.py"},
    {"engine/find.py", "engine/perturb.py", "engine/whereabouts.py"},
    {"engine/together.py"},
    {"engine/methods", "engine/metrics", "engine/render", "engine/explanation_file.py"},
    {"engine/verbalise.py"},
    {
        "engine/explain.py",
        "engine/fit.py",
        "engine/inspect.py",
        "engine/gradient_file.py",
        "engine/split_files.py",
        "engine/subject.py",
        "engine/verify.py",
    },
    {"engine/explainer.py", "engine/export_search.py"},
    {"engine/trials.py", "engine/mosaic.py", "engine/export.py", "engine/maps.py"},
    {"engine/triton.py", "engine/strict.py"},
    {"engine/evaluate.py", "engine/compare.py"},
    {"engine/results.py", "engine/comparison_file.py"},
    {"engine/bulk_rows.py"},
    {"engine/bulk_shard.py"},
    {"engine/bulk_workers.py"},
    {"engine/bulk.py"},
    {"engine/__init__.py"},
    {"adapters", "models"},
    {"__init__.py"},
    {"cli.py"},
]
SOURCES = [
    ROOT / "__init__.py",
    ROOT / "cli.py",
    *ROOT.glob("engine/**/*.py"),
    *ROOT.glob("adapters/**/*.py"),
    *ROOT.glob("models/*.py"),
]
HOMES = {
    "onnx": ("engine/graph", "engine/autodiff", "models"),
    "onnxruntime": ("engine/runtime", "models"),
    "PIL": ("engine/render", "adapters/images.py", "models"),
    "torch": ("models/train_digits.py", "adapters"),
    "tensorflow": ("adapters",),
    "cv2": (),
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def place(path: Path) -> str:
    """Give 'engine/graph' for engine/graph/walk.py, 'engine/types.py' for engine/types.py, 'adapters' for all of it."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] in ("adapters", "models") else "/".join(parts[:2])


def layer(path: Path) -> int:
    return next(i for i, row in enumerate(LAYERS) if place(path) in row)


def imports(path: Path) -> Iterator[Path]:
    """Yield the project files that `path` imports; imports inside the project are always relative."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for target in (base, *(base / alias.name for alias in node.names)):
                yield from (f for f in (target.with_suffix(".py"), target / "__init__.py") if f in SOURCES)


def foreign(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_point_downwards(path: Path) -> None:
    upwards = [name(o) for o in imports(path) if place(o) != place(path) and layer(o) >= layer(path)]

    assert not upwards, f"{name(path)} must not import {upwards}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_packages_stay_in_their_places(path: Path) -> None:
    strays = [p for p in foreign(path) if p in HOMES and not name(path).startswith(HOMES[p])]

    assert not strays, f"{name(path)} must not import {strays}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_package_is_never_imported_by_its_own_name(path: Path) -> None:
    assert not {"ddcam", "engine", "adapters", "cli", "models"} & set(foreign(path))


@pytest.mark.parametrize("path", sorted(ROOT.glob("adapters/[a-z]*.py")), ids=name)
def test_adapters_do_not_know_each_other(path: Path) -> None:
    assert not [o for o in imports(path) if place(o) == "adapters" and o.name != "__init__.py"]


@pytest.mark.parametrize("path", [p for p in SOURCES if "search" in p.relative_to(ROOT).parts], ids=name)
def test_the_search_knows_no_models_and_no_pictures(path: Path) -> None:
    assert set(foreign(path)) <= {
        "numpy",
        "scipy",
        "collections",
        "contextlib",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "itertools",
        "time",
        "typing",
        "__future__",
    }
