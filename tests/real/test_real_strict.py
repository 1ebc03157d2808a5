"""A strict inspection of real models: what it says is there, and nothing ends it."""

from pathlib import Path
from typing import Any

import pytest

from ddcam.engine import strict
from ddcam.engine.strict import Row, inspect_strictly, verdict
from ddcam.engine.types import Wishes

pytestmark = pytest.mark.data
SMALL = ("mnist/winml", "cifar10/vnn_oval", "cifar10/vit_pgd")
FEW = ("dd-cam", "nested", "cam", "grad-cam", "eigen-cam", "attention-rollout", "saliency", "rise", "d-rise")


def inspected(entry: dict[str, Any]) -> tuple[Row, ...]:
    return inspect_strictly(Path(entry["file"]), Wishes(device="cpu", threads=1, preprocessing=entry["preset"]))


def require(rows: tuple[Row, ...]) -> None:
    """Require that a certificate holds, that every method has its row, and that a reason is given for each refusal."""
    found = {row.what: row for row in rows if not row.methods}
    assert found["certificate"].result == "works", found["certificate"]
    assert found["preprocessing"].result == "works"
    assert {name for row in rows for name in row.methods} == set(strict.METHODS) - {"dd-cam"}
    assert all(row.why and row.why.isprintable() for row in rows)
    assert "refused" not in {row.result for what, row in found.items() if what.startswith("dd-cam")}


@pytest.mark.parametrize("name", SMALL)
def test_small_models(name: str, entries: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "METHODS", {method: strict.METHODS[method] for method in FEW})

    rows = inspected(next(entry for entry in entries if entry["name"].startswith(name)))

    require(rows)
    assert verdict(rows) == "works"


@pytest.mark.slow
def test_every_model(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        require(inspected(entry))
