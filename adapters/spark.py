"""Spark: what `DataFrame.mapInPandas` takes to turn a frame of pictures into a frame of rows; needs pandas only."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..engine.bulk_rows import COLUMNS
from ..engine.bulk_shard import Job, rows_of
from ..engine.explainer import Explainer

TYPES = {"int64": "bigint", "int32": "int", "double": "double", "bool": "boolean", "string": "string"}
TYPES["list<int32>"] = "array<int>"
SCHEMA = ", ".join(f"`{name}` {TYPES[kind]}" for name, (kind, _) in COLUMNS.items())
"""The columns of a row in Spark's words, for the second argument of `mapInPandas`."""


def explained(job: Job) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what explains frames with a column `path`, and `index` where there is one, for `mapInPandas`.

    Names are relative to the job's root; of the job its folder, form and maps play no part. Spark's Python workers load
    the model once each, on one thread, and serve one task after the other.
    """

    def frames(parts: Iterable[Any]) -> Iterator[Any]:
        import pandas  # noqa: PLC0415  (which Spark brings to its workers)

        explainer = loaded(job)
        for part in parts:
            yield pandas.DataFrame(rows_of(job, explainer, part), columns=list(COLUMNS), dtype=object)

    return frames


LOADED: dict[str, Explainer] = {}
"""The models of this worker, which stays between tasks, by what was asked."""


def loaded(job: Job) -> Explainer:
    if repr(job) not in LOADED:
        LOADED[repr(job)] = job.explainer(threads=1)
    return LOADED[repr(job)]
