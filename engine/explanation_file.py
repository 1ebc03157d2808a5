"""An explanation on disk: a folder with manifest.json, arrays and pictures; written whole and opened again."""

import hashlib
import io
import json
import os
import platform
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer import Explanation
from .atomic import refuse_existing, whole_folder
from .chosen_file import arrays_of, describe_chosen
from .errors import ExplanationError, OptionError
from .preprocess.arrays import require_record
from .preprocess.metadata import from_record
from .types import Preprocessing

SCHEMA = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 * 2**20
NEEDED = {
    "units.kind": str,
    "units.count": int,
    "subset": list,
    "predicate": str,
    "target.index": int,
    "top.0.index": int,
    "certificate.sufficient": bool,
    "certificate.minimal": bool,
    "model.sha256": str,
    "model.output": str,
    "model.layout": str,
    "picture.sha256": str,
    "split.tensor": str,
    "preprocessing": dict,
    "preprocessing.color": str,
    "preprocessing.fit": str,
    "preprocessing.resample": str,
    "preprocessing.mean": list,
    "preprocessing.std": list,
    "files": dict,
}
"""What a verification needs of a manifest."""
NEEDED_OF_PATCHES = {"split.patch": int, "split.baseline": str}
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
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != self.manifest["files"].get(path.name):
                raise ExplanationError(f"{path} is not the file that was written; explain the picture again")
            return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except ExplanationError:
            raise
        except Exception as error:  # NumPy's reader raises whatever the bytes make it stumble over
            raise ExplanationError(f"{path} is damaged: {error}; explain the picture again") from error


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
    half = in_axes(explanation).astype(np.float16)  # 12 megapixels are 24 MB so, and 256 shades are drawn at most
    own: dict[str, NDArray[Any]] = {"scores": attribution.scores, "grid": attribution.grid_map, "saliency": half}
    own |= {held_name(i): value for i, value in enumerate(explanation.held.values())}
    with whole_folder(folder, replace=marker(replace)) as work:
        for name, array in (own | arrays_of(explanation.chosen) | dict(arrays)).items():
            np.save(work / f"{name}.npy", array)
        for name, content in pictures.items():
            (work / name).write_bytes(content)
        digests = {path.name: sha256(path) for path in sorted(work.iterdir())}
        text = json.dumps(describe(explanation) | {"files": digests}, indent=2, ensure_ascii=False)
        # A file name that is no UTF-8 holds surrogates; escaped so they are JSON.
        (work / MANIFEST).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def in_axes(explanation: Explanation) -> NDArray[Any]:
    """Return the map with the axes of what was explained: `[H, W]`, of a series `[T]`, of a volume `[D, H, W]`."""
    saliency, depth = explanation.saliency, explanation.depth
    if explanation.form == "series":
        return saliency.reshape(-1)
    return saliency.reshape(depth, -1, saliency.shape[1]) if depth > 1 else saliency


def held_name(index: int) -> str:
    """Name the array of a held input, by its place in the manifest's list: inputs may be called like no file can."""
    return f"held_{index}"


def held_of(saved: Saved) -> dict[str, NDArray[Any]]:
    """Return the values at which inputs besides the picture were held."""
    names = entry(saved.manifest, "model.held") or []
    found = {str(name): saved.array(held_name(i)) for i, name in enumerate(names)}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise ExplanationError(f"{saved.folder} lacks the value of the input {missing[0]!r}; explain the picture again")
    return {name: value for name, value in found.items() if value is not None}


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
        "text": explanation.text,
        "method": attribution.method,
        "model": dict(explanation.model),
        "picture": {"file": picture.name, "sha256": picture.sha256, "height": height, "width": width},
        "preprocessing": asdict(explanation.preprocessing),
        "placement": asdict(explanation.placement),
        "split": asdict(split),
        "head": dict(explanation.head),
        "units": {"kind": split.units, "count": split.count},
        "predicate": explanation.predicate,
        "chosen": describe_chosen(explanation.chosen),
        "target": asdict(explanation.target),
        "top": [asdict(prediction) for prediction in explanation.top],
        "rivals": [asdict(prediction) for prediction in explanation.rivals],
        "subset": None if attribution.subset is None else list(attribution.subset),
        "seek": attribution.seek,
        "outcome": attribution.outcome,
        "search": attribution.search,
        "weighting": attribution.weighting,
        "certificate": attribution.certificate and asdict(attribution.certificate),
        "bound": attribution.bound and asdict(attribution.bound),
        "others": [asdict(answer) for answer in attribution.others],
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
    if not os.path.isdir(folder):
        raise ExplanationError(f"expected an explanation folder, {folder} is none; give the folder that explain wrote")
    if not os.path.isfile(path):
        raise ExplanationError(f"{folder} has no {MANIFEST}: it is no explanation or an incomplete one")
    if os.path.getsize(path) > LARGEST_MANIFEST:
        raise ExplanationError(f"{path} is over {LARGEST_MANIFEST / 2**20:.0f} MB, which no manifest is")
    try:
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
    if entry(manifest, "method") not in (None, "dd-cam") and "subset" in manifest and manifest["subset"] is None:
        raise ExplanationError(
            f"{path} holds a map of the method {manifest['method']}, which claims no subset; there is nothing to verify"
        )
    patches = NEEDED_OF_PATCHES if entry(manifest, "units.kind") == "patch" else {}
    for name, kind in (NEEDED | patches).items():
        found = entry(manifest, name)
        if type(found) is not kind:
            raise ExplanationError(
                f"{path}: expected {name} of type {kind.__name__}, got {reprlib.repr(found)}; explain the picture again"
            )
    require_preprocessing(manifest["preprocessing"], path)
    others = manifest.get("others", [])
    if manifest.get("seek", "sufficient") not in ("sufficient", "necessary") or not isinstance(others, list):
        raise ExplanationError(f"{path}: expected seek sufficient or necessary, and a list of others; explain it again")
    require_subset(manifest, manifest["units"]["count"], path)
    for other in others:
        require_answer(other, manifest["units"]["count"], path)


def require_preprocessing(fields: Mapping[str, Any], path: Path) -> None:
    try:
        shown = Preprocessing(**fields)
        if shown.color == "bands":
            require_record(shown)
        else:
            from_record(fields, MANIFEST)
    except (TypeError, OptionError) as error:
        raise ExplanationError(f"{path}: preprocessing: {error}; explain the picture again") from error


def require_answer(other: Any, count: int, path: Path) -> None:
    """Raise where one of several answers has no subset or no certificate."""
    flags = [entry(other, f"certificate.{name}") for name in ("sufficient", "minimal")]
    if type(entry(other, "subset")) is not list or not all(type(flag) is bool for flag in flags):
        raise ExplanationError(f"{path}: expected others with a subset and a certificate; explain the picture again")
    require_subset(other, count, path)


def require_subset(answer: Mapping[str, Any], count: int, path: Path) -> None:
    subset = answer["subset"]
    if not all(type(unit) is int for unit in subset) or subset != sorted(set(subset)):
        raise ExplanationError(f"{path}: expected a subset of whole numbers in order; explain the picture again")
    if subset and not 0 <= subset[0] <= subset[-1] < count:
        raise ExplanationError(f"{path}: the subset names units outside 0..{count - 1}; explain the picture again")


def entry(manifest: Any, name: str) -> Any:
    """Return what a manifest has under a name such as `top.0.index`, or None."""
    found = manifest
    for key in name.split("."):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return found


def preprocessing_of(saved: Saved) -> Preprocessing:
    fields = dict(saved.manifest["preprocessing"])
    return Preprocessing(**(fields | {"mean": tuple(fields["mean"]), "std": tuple(fields["std"])}))
