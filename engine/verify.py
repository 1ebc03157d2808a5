"""Ask the model again whether a saved explanation is true."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer import Certificate
from .check import TOLERANCE
from .chosen_file import REGION, read_chosen
from .errors import ExplanationError, OptionError
from .explanation_file import Saved, held_of, preprocessing_of
from .find import certificate_for
from .graph.load import read_model
from .model import Model, load
from .preprocess import prepare
from .preserved import with_index
from .problem import Problem
from .types import Labels, Picture, Wishes

UNFINISHED = frozenset({"out-of-budget", "full-fails"})
"""Outcomes that promise less than a sufficient and minimal subset."""


@dataclass(frozen=True)
class Verdict:
    """What a second look found: the new certificates, where they contradict the manifest, and what they rest on."""

    certificate: Certificate
    others: tuple[Certificate, ...]
    differences: tuple[str, ...]
    source: str
    seek: str = "sufficient"

    @property
    def agrees(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        facts = SAID[self.seek, self.certificate.sufficient, self.certificate.minimal]
        answers = f"{len(self.others)} further answers and " if self.others else ""
        runs = sum(certificate.runs for certificate in (self.certificate, *self.others))
        return "; ".join([facts, f"{answers}this one asked again on {self.source} in {runs} runs", *self.differences])


SAID = {
    ("sufficient", True, True): "the subset keeps the decision; dropping any unit loses it",
    ("sufficient", True, False): "the subset keeps the decision; some unit of it can be dropped",
    ("sufficient", False, True): "the subset does NOT keep the decision",
    ("sufficient", False, False): "the subset does NOT keep the decision",
    ("necessary", True, True): "removing the subset loses the decision; leaving any unit of it in keeps it",
    ("necessary", True, False): "removing the subset loses the decision; some unit of it can be left in",
    ("necessary", False, True): "removing the subset does NOT lose the decision",
    ("necessary", False, False): "removing the subset does NOT lose the decision",
}


def verify(
    saved: Saved, model: str | Path, picture: Picture | None = None, *, device: str = "auto", threads: int = 0
) -> Verdict:
    """Recompute the certificate of a saved explanation with the model's own head.

    The features come from `picture`, else from the arrays that were kept. Raises ExplanationError when the
    model or the picture is another one, or when neither picture nor arrays are there. Cost: a load, a backbone
    forward, and |S| + 3 head runs an answer.
    """
    manifest = saved.manifest
    require_same(read_model(model).sha256, manifest["model"]["sha256"], f"model {model}")
    unit, fitted = manifest["units"], preprocessing_of(saved)
    wishes = Wishes(
        units=unit["kind"],
        patch=manifest["split"].get("patch"),
        baseline=manifest["split"].get("baseline"),
        split=manifest["split"]["tensor"],
        output=manifest["model"]["output"],
        layout=manifest["model"]["layout"],
        size=(fitted.height, fitted.width),
        device=device,
        threads=threads,
        input=manifest["model"].get("input"),
        hold=held_of(saved),
    )
    chosen = read_chosen(manifest.get("chosen"), saved.array(REGION))
    loaded = load(model, wishes, chosen, picture)
    if loaded.split.count != unit["count"]:
        raise ExplanationError(f"the manifest counts {unit['count']} units, the model has {loaded.split.count}")
    inputs, features, source = evidence(saved, loaded, picture)
    target, preserve = str(manifest["target"]["index"]), preserved(manifest, loaded.opened.logits.classes)
    problem = Problem(loaded, inputs, target=target, preserve=preserve, features=features)
    seek, claims = manifest.get("seek", "sufficient"), [manifest, *manifest.get("others", [])]
    found = [certificate_for(problem, tuple(claim["subset"]), seek) for claim in claims]
    differences = [text for pair in zip(claims, found, strict=True) for text in disproved(*pair)]
    differences += contradictions(saved, problem)
    return Verdict(found[0], tuple(found[1:]), tuple(differences), source, seek)


def disproved(claim: Mapping[str, Any], now: Certificate) -> list[str]:
    """Say where a certificate differs from what the manifest says of a subset, or from what its outcome means."""
    recorded = claim["certificate"]
    pairs = (("sufficient", now.sufficient), ("minimal", now.minimal))
    found = [f"the manifest says {name}: {recorded[name]}" for name, fact in pairs if recorded[name] != fact]
    if not found and not now.holds and claim.get("outcome", "one-minimal") not in UNFINISHED:
        found.append("the answer is neither sufficient nor minimal, as its manifest says itself")
    return found


def preserved(manifest: Mapping[str, Any], classes: int) -> str:
    """Return the predicate with an index for the name of a class, which may come from a file that is not there.

    `label:NAME` can only be true of the class that was decided for, and the name of that one is recorded.
    """
    decided = manifest["top"][0]
    names = tuple(str(decided.get("label")) if i == decided["index"] else "" for i in range(classes))
    try:
        return with_index(manifest["predicate"], Labels(names, "recorded"))
    except OptionError as error:
        raise ExplanationError(f"the manifest says {manifest['predicate']}, but class {decided['index']} was decided "
                               "for; explain the picture again") from error  # fmt: skip


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
        features = model.features(model.opened.samples[:1])
        require_form(kept, features.shape, str(features.dtype), "features.npy")
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


def contradictions(saved: Saved, problem: Problem) -> list[str]:
    """Say where the model decides otherwise than the manifest says."""
    if len(problem.logits) == 1:
        return moved(saved, problem)
    decided, recorded = int(np.argmax(problem.logits)), saved.manifest["top"][0]["index"]
    if decided == recorded:
        return []
    return [f"the manifest says class {recorded} is decided for, the model decides for {decided}"]


def moved(saved: Saved, problem: Problem) -> list[str]:
    """Compare the only score of a model with the recorded one, as exactly as the model's precision allows."""
    now, recorded = float(problem.logits[0]), saved.manifest["top"][0].get("logit")
    allowed = TOLERANCE[problem.model.opened.coarsest] * (1 + abs(now))
    if isinstance(recorded, float | int) and abs(now - recorded) <= allowed:
        return []
    return [f"the manifest says the score is {recorded}, the model says {now:.5g}"]
