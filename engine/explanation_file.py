"""An explanation on disk: a folder with manifest.json, arrays and pictures; written whole and opened again."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import refuse_existing, whole_folder
from .errors import ExplanationError
from .types import Explanation, Preprocessing

SCHEMA = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 * 2**20
PACKAGES = ("ddcam", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Saved:
    """An explanation as read from disk: its manifest, checked for form, and its folder."""

    folder: Path
    manifest: Mapping[str, Any]

    def array(self, name: str) -> NDArray[Any] | None:
        """Return a kept array, or None where it was not kept."""
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            return None
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ExplanationError(f"{path} is damaged: {error}; explain the picture again") from error
        return array


def write(
    explanation: Explanation,
    folder: Path,
    pictures: Mapping[str, bytes],
    arrays: Mapping[str, NDArray[Any]],
    replace: bool,
) -> None:
    """Write an explanation folder; the manifest is written last, and the folder appears whole or not at all.

    Raises OutputError when the folder exists (unless `replace`) or cannot be written.
    """
    attribution = explanation.attribution
    own = {"scores": attribution.scores, "grid": attribution.grid_map, "saliency": explanation.saliency}
    with whole_folder(folder, replace=marker(replace)) as work:
        for name, array in (own | dict(arrays)).items():
            np.save(work / f"{name}.npy", array)
        for name, content in pictures.items():
            (work / name).write_bytes(content)
        digests = {path.name: sha256(path) for path in sorted(work.iterdir())}
        text = json.dumps(describe(explanation) | {"files": digests}, indent=2, ensure_ascii=False)
        (work / MANIFEST).write_text(text + "\n", encoding="utf-8")


def require_writable(folder: Path, *, replace: bool) -> None:
    """Raise OutputError early, before anything is computed, where `write` would refuse the folder."""
    refuse_existing(folder, marker(replace))


def marker(replace: bool) -> str | None:
    return MANIFEST if replace else None


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(explanation: Explanation) -> dict[str, Any]:
    """Return the manifest of an explanation: everything but the arrays, ready for JSON."""
    attribution, picture, split = explanation.attribution, explanation.picture, explanation.split
    height, width = picture.pixels.shape[:2]
    return {
        "schema_version": SCHEMA,
        "sentence": str(explanation),
        "method": attribution.method,
        "model": dict(explanation.model),
        "picture": {"file": picture.name, "sha256": picture.sha256, "height": height, "width": width},
        "preprocessing": asdict(explanation.preprocessing),
        "placement": asdict(explanation.placement),
        "split": asdict(split),
        "head": dict(explanation.head),
        "units": {"kind": split.units, "count": split.count},
        "predicate": explanation.predicate,
        "target": asdict(explanation.target),
        "top": [asdict(prediction) for prediction in explanation.top],
        "subset": None if attribution.subset is None else list(attribution.subset),
        "outcome": attribution.outcome,
        "search": attribution.search,
        "weighting": attribution.weighting,
        "certificate": attribution.certificate and asdict(attribution.certificate),
        "cost": attribution.cost and asdict(attribution.cost),
        "device": explanation.device,
        "versions": versions(),
        "warnings": list(explanation.warnings),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def open_explanation(folder: str | Path) -> Saved:
    """Open an explanation folder; raises ExplanationError when it is missing, incomplete or of another schema."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ExplanationError(f"expected an explanation folder, {folder} is none; give the folder that explain wrote")
    if not path.is_file():
        raise ExplanationError(f"{folder} has no {MANIFEST}: it is no explanation or an incomplete one")
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ExplanationError(f"{path} is over 64 MB, which no manifest is")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ExplanationError(f"{path} is damaged: {type(error).__name__}; explain the picture again") from error
    require_form(manifest, path)
    return Saved(folder, manifest)


def require_form(manifest: Any, path: Path) -> None:
    """Raise where the manifest lacks what a verification needs, or has it in another form."""
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA:
        raise ExplanationError(
            f"{path}: expected schema_version {SCHEMA}, got {version!r}; use the ddcam that wrote it"
        )
    try:
        count, subset = manifest["units"]["count"], manifest["subset"]
        strings = [manifest["predicate"], manifest["split"]["tensor"], manifest["units"]["kind"]]
        strings += [manifest["model"][name] for name in ("sha256", "output", "layout")]
        strings += [manifest["picture"]["sha256"]]
        numbers = [count, manifest["target"]["index"], *subset]
        Preprocessing(**manifest["preprocessing"])
        flags = [manifest["certificate"][name] for name in ("sufficient", "minimal")]
    except (KeyError, TypeError, AttributeError) as error:
        raise ExplanationError(f"{path}: {error} is missing or of the wrong form; explain the picture again") from error
    well = all(isinstance(s, str) for s in strings) and all(type(n) is int for n in numbers)
    if not (well and all(type(f) is bool for f in flags) and subset == sorted(set(subset))):
        raise ExplanationError(f"{path}: a field has the wrong type, or the subset is not sorted; explain again")
    if any(not 0 <= unit < count for unit in subset):
        raise ExplanationError(f"{path}: the subset names units outside 0..{count - 1}; explain the picture again")


def preprocessing_of(saved: Saved) -> Preprocessing:
    fields = dict(saved.manifest["preprocessing"])
    return Preprocessing(**(fields | {"mean": tuple(fields["mean"]), "std": tuple(fields["std"])}))
