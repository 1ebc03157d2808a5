"""KServe's protocol V1: instances in, predictions or explanations out, everything JSON."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from starlette.responses import JSONResponse, Response

from ...engine.answer import Explanation
from ...engine.errors import PictureError
from ...engine.explain import at_input
from ...engine.explainer import Decision, Prepared
from ...engine.ranked import ranked
from ...engine.render import from_map, png_bytes
from .calls import Call, Reading, bad, member, parsed
from .instances import picture_of
from .served import Served
from .work import Asked, Found, Want

MAPS = ("png", "numbers", "none")
"""What a map comes as: a grey PNG of the picture's size, numbers of the model input's size, or not at all."""
DIGITS = 5


def read_predict(call: Call) -> Reading:
    """Read a call of `:predict`."""
    request = parsed(call.body)
    parameters_of(request, ())
    prepared = prepare_all(call, request)
    return Reading(asked(prepared, "scores"), partial(predictions, call.served))


def read_explain(call: Call) -> Reading:
    """Read a call of `:explain`; its parameter `saliency_map` is one of MAPS, png by default."""
    request = parsed(call.body)
    form = parameters_of(request, ("saliency_map",)).get("saliency_map", MAPS[0])
    if form not in MAPS:
        raise bad(f"expected the parameter saliency_map to be {', '.join(MAPS[:-1])} or {MAPS[-1]}, got {form!r}")
    prepared = prepare_all(call, request)
    return Reading(asked(prepared, "explanation"), partial(explanations, call.served, prepared, form))


def parameters_of(request: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = member(request, "parameters", dict, {})
    if unknown := [name for name in found if name not in known]:
        raise bad(f"expected the parameters {', '.join(known) or '(none)'}, got {unknown[0]!r}")
    return found


def prepare_all(call: Call, request: dict[str, Any]) -> list[Prepared]:
    """Decode and prepare every instance, once there is room for them all."""
    instances: list[Any] = member(request, "instances", list, [])
    if not instances:
        raise bad('expected {"instances": [...]} with at least one picture, got none')
    call.places(len(instances))
    prepare = call.served.first.explainer.prepare
    return [prepare(picture_of(call.served, one, f"instance {i}")) for i, one in enumerate(instances)]


def asked(prepared: Sequence[Prepared], want: Want) -> list[Asked]:
    return [Asked(one.inputs, frozenset([want])) for one in prepared]


def predictions(served: Served, found: Sequence[Found]) -> Response:
    opened, told = served.first.explainer.model.opened, []
    for number, one in enumerate(found):
        assert one.scores is not None
        if not np.isfinite(one.scores).all():
            raise PictureError(f"the model gives scores that are not finite for instance {number}")
        top = ranked(opened, one.scores, served.preserve)
        told.append(asdict(top[0]) | {"top": [asdict(each) for each in top]})
    return JSONResponse({"predictions": told})


def explanations(served: Served, prepared: Sequence[Prepared], form: str, found: Sequence[Found]) -> Response:
    told = []
    for picture, one in zip(prepared, found, strict=True):
        assert one.decision is not None
        explanation = served.first.explainer.tell(picture, one.decision)
        assert isinstance(one.decision, Decision)
        told.append(describe(explanation) | {"saliency_map": map_of(explanation, form)})
    return JSONResponse({"explanations": told})


def describe(explanation: Explanation) -> dict[str, Any]:
    """Say an explanation in JSON, all but its map."""
    attribution, split, proof = explanation.attribution, explanation.split, explanation.attribution.certificate
    return {
        "target": asdict(explanation.target),
        "top": [asdict(each) for each in explanation.top],
        "method": attribution.method,
        "predicate": explanation.predicate,
        "units": {"kind": split.units, "count": split.count},
        "subset": None if attribution.subset is None else list(attribution.subset),
        "outcome": attribution.outcome,
        "certificate": proof and {"holds": proof.holds, "sufficient": proof.sufficient, "minimal": proof.minimal},
        "text": explanation.text,
        "warnings": list(explanation.warnings),
        "placement": asdict(explanation.placement),
    }


def map_of(explanation: Explanation, form: str) -> Any:
    """Return the map in a form; numbers have the model input's size, whatever the picture's."""
    match form:
        case "png":
            return {"b64": b64encode(png_bytes(from_map(explanation.saliency))).decode()}
        case "numbers":
            grid_map = explanation.attribution.grid_map
            shown = at_input(grid_map, explanation.split, explanation.preprocessing)
            return shown.astype(np.float64).round(DIGITS).tolist()
        case _:
            return None
