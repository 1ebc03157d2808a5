"""Ray: the shards of a bulk run on a cluster, and rows of pictures within a pipeline of Ray Data."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..engine.bulk_shard import Job, Shard, complete, rows_of
from ..engine.errors import DdcamError, MissingPackageError, RunError
from ..engine.explainer import Explainer
from .bulk import arrow_table

try:
    import ray
    import ray.data
    from ray.exceptions import RayError
except ImportError as error:
    raise MissingPackageError('ddcam.adapters.ray needs Ray; pip install "ddcam[ray]"') from error

Batch = Mapping[str, Any]
"""Columns of a dataset by name, as arrays."""


class ExplainPictures:
    """Explain a batch of pictures for `Dataset.map_batches`: one engine an actor."""

    def __init__(self, job: Job) -> None:
        """Load the model on one thread; of the job its folder, form and maps play no part."""
        self.job = job
        self.explainer = job.explainer(threads=1)

    def __call__(self, batch: Batch) -> Any:
        """Return the rows (bulk_rows.COLUMNS) as an Arrow table for a column `path`, and `index` where there is one."""
        return arrow_table(rows_of(self.job, self.explainer, batch))


class CompleteShards:
    """Complete the shards of a bulk run for `Dataset.map_batches`: one engine an actor, loaded with its first shard."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def explainer(self) -> Explainer:
        return self.job.explainer(threads=1)

    def __call__(self, batch: Batch) -> Batch:
        """Return how many pictures are done, or what was refused: Ray would try that again, and tell it in a page."""
        try:
            shards = [Shard(int(n), int(s), list(names)) for n, s, names in zip(*batch.values(), strict=True)]
            done = [sum(1 for _ in complete(self.job, self.explainer, shard)) for shard in shards]
        except DdcamError as refusal:
            return {"done": [0], "refusal": [str(refusal)]}
        return {"done": done, "refusal": [""] * len(done)}


def on_ray(
    job: Job, explainer: Explainer, shards: Sequence[Shard], *, address: str | None = None, workers: int | None = None
) -> Iterator[int]:
    """Complete shards on a Ray cluster; yield how many pictures are done, after each shard.

    `workers` actors, by default one a GPU where the model runs on one, else one a core, read pictures and write shards
    themselves, so all machines need the same paths. They take whole shards because a shard is what is renamed into
    place: one that was lost with its worker is computed again by another, and the files are the same whoever wrote
    them, in whatever order. `address` is that of a cluster, by default RAY_ADDRESS or one that runs here, else one is
    started. Raises RunError where Ray fails or a worker refuses; finished shards stay.
    """
    kind = "GPU" if explainer.model.device == "cuda" else "CPU"
    try:
        connect(address)
        size = workers or int(ray.cluster_resources().get(kind, 1))
        done = 0
        for row in mapped(job, shards, min(size, len(shards)), kind).iter_rows():
            if row["refusal"]:
                raise RunError(f"a worker on Ray refused: {row['refusal']}")
            done += int(row["done"])
            yield done
    except (RayError, ConnectionError) as failure:
        raise RunError(f"Ray failed: {brief(failure)}; finished shards stay, run the same command again") from None


def connect(address: str | None) -> None:
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def mapped(job: Job, shards: Sequence[Shard], workers: int, kind: str) -> Any:
    """Return the dataset of answers: a block a shard, so that a lost worker costs one."""
    items = [{"number": shard.number, "start": shard.start, "names": list(shard.names)} for shard in shards]
    return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        CompleteShards,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        **{"num_gpus" if kind == "GPU" else "num_cpus": 1},
    )


def brief(failure: Exception) -> str:
    """Return the last line of what Ray says, which is the cause."""
    return next((line for line in reversed(str(failure).splitlines()) if line.strip()), type(failure).__name__)
