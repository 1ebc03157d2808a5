"""Ask the model again whether a saved explanation is true."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ExplanationError
from .explanation_file import Saved, preprocessing_of
from .graph.load import read_model
from .model import Model, load
from .preprocess import prepare
from .problem import Problem
from .search.certificate import certify
from .types import Certificate, Picture, Wishes


@dataclass(frozen=True)
class Verdict:
    """What a second look found: the new certificate, where it contradicts the manifest, and what it rests on."""

    certificate: Certificate
    differences: tuple[str, ...]
    source: str

    @property
    def agrees(self) -> bool:
        return self.certificate.holds and not self.differences

    def __str__(self) -> str:
        facts = [
            f"the subset {'keeps' if self.certificate.sufficient else 'does NOT keep'} the decision",
            f"dropping any unit {'loses' if self.certificate.minimal else 'does NOT lose'} it",
            f"asked again on {self.source} in {self.certificate.runs} runs",
        ]
        return "; ".join([*facts, *self.differences])


def verify(
    saved: Saved, model: str | Path, picture: Picture | None = None, *, device: str = "auto", threads: int = 0
) -> Verdict:
    """Recompute the certificate of a saved explanation with the model's own head.

    The features come from `picture`, else from the arrays that were kept. Raises ExplanationError when the
    model or the picture is another one, or when neither picture nor arrays are there. Cost: a load, a backbone
    forward, and |S| + 3 head runs.
    """
    manifest = saved.manifest
    require_same(read_model(model).sha256, manifest["model"]["sha256"], f"model {model}")
    unit, fitted = manifest["units"], preprocessing_of(saved)
    wishes = Wishes(
        units=unit["kind"],
        split=manifest["split"]["tensor"],
        output=manifest["model"]["output"],
        layout=manifest["model"]["layout"],
        size=(fitted.height, fitted.width),
        device=device,
        threads=threads,
    )
    loaded = load(model, wishes)
    if loaded.split.count != unit["count"]:
        raise ExplanationError(f"the manifest counts {unit['count']} units, the model has {loaded.split.count}")
    inputs, features, source = evidence(saved, loaded, picture)
    target, preserve = str(manifest["target"]["index"]), manifest["predicate"]
    problem = Problem(loaded, inputs, target=target, preserve=preserve, features=features)
    certificate = certify(tuple(manifest["subset"]), problem.units, problem.score_alone, problem.predicate)
    return Verdict(certificate, tuple(contradictions(saved, problem, certificate)), source)


def evidence(
    saved: Saved, model: Model, picture: Picture | None
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, str]:
    """Return model input, features, and where they come from: the picture if given, else what was kept."""
    if picture is not None:
        require_same(picture.sha256, saved.manifest["picture"]["sha256"], f"picture {picture.name}")
        inputs, _ = prepare(picture, preprocessing_of(saved), model.opened.picture)
        return inputs, None, f"the picture {picture.name}"
    given = saved.array("input")
    if given is not None:
        expected = model.opened.samples[:1]
        require_form(given, expected.shape, str(expected.dtype), "input.npy")
        return given, None, "the kept model input"
    kept = saved.array("features")
    if kept is not None:
        require_form(kept, model.split.shape, model.split.dtype, "features.npy")
        return None, kept, "the kept features"
    raise ExplanationError("this explanation kept no arrays; give the picture too, or explain with --keep-arrays")


def require_same(found: str, recorded: str, what: str) -> None:
    if found != recorded:
        raise ExplanationError(
            f"{what} is not the one that was explained (sha256 {found[:12]}..., recorded {recorded[:12]}...)"
        )


def require_form(array: NDArray[Any], shape: tuple[int, ...], dtype: str, name: str) -> None:
    if array.shape != shape or str(array.dtype) != dtype:
        raise ExplanationError(f"{name}: expected {dtype}{list(shape)}, got {array.dtype}{list(array.shape)}")


def contradictions(saved: Saved, problem: Problem, certificate: Certificate) -> list[str]:
    claimed = saved.manifest["certificate"]
    pairs = (("sufficient", certificate.sufficient), ("minimal", certificate.minimal))
    found = [f"the manifest says {name}: {claimed[name]}" for name, now in pairs if claimed[name] != now]
    decided, recorded = int(np.argmax(problem.logits)), saved.manifest["top"][0]["index"]
    if decided != recorded:
        found.append(f"the manifest says class {recorded} is decided for, the model decides for {decided}")
    return found
