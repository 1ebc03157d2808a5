"""Many pictures to files of rows: a shard at a time, so that a run that was killed goes on where it was."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from .atomic import is_empty, refuse_under_file, whole_file
from .bulk_rows import escaped
from .bulk_shard import Job, Shard, part_name
from .bulk_workers import Deal, locally
from .errors import CheckError, ModelError, OptionError, OutputError
from .evaluate import PLAN, read_plan
from .explain import doubts_of
from .explainer import Explainer, attempt
from .graph.hold import shown
from .inspect import preprocessing_text
from .lock import claim
from .model import Model
from .preserved import default_predicate
from .types import Picture

LOCK = ".lock"
FEWEST, MOST = 16, 500
"""Pictures of a shard where nothing else is asked for: a sixteenth of all within these bounds, so that workers have
several shards each, and a kill costs each of them seconds."""


def bulk(
    job: Job,
    names: Sequence[str],
    *,
    size: int | None = None,
    deal: Deal = locally,
    note: Callable[[str], object] = lambda _: None,
) -> Iterator[tuple[int, int]]:
    """Explain the pictures `names` below the job's root; yield how many of how many are done, now and then.

    The job's folder gets plan.json and a file of rows (bulk_rows.COLUMNS) for each `size` pictures, in input order,
    with their maps beside it. What was finished by an earlier run of the same question is not computed again, and the
    rows are those of a run in one piece. A picture that cannot be explained becomes a row that says why; `note` gets
    what is to be said of all. `deal` has the shards computed. Raises DdcamError for what concerns all of them.
    """
    if not names:
        raise OptionError("expected pictures, got none")
    size = size or max(FEWEST, min(MOST, len(names) // 16))
    refuse_other_folder(job.folder)
    explainer = job.explainer()
    require_answers(explainer)
    job = pinned(job, explainer.model)
    with writing(job.folder):
        agree(job.folder, plan_of(job, explainer.model, names, size))
        for remark in remarks(job, explainer.model, names):
            note(remark)
        sweep(job)
        left = unfinished(job, names, size)
        before = len(names) - sum(len(shard.names) for shard in left)
        yield before, len(names)
        steps = deal(job, explainer, left) if left else iter(())
        del explainer  # processes have models of their own
        for done in steps:
            yield before + done, len(names)
        sweep(job)  # of workers that were replaced
        require_done(job, left)


def pinned(job: Job, model: Model) -> Job:
    """Return the job as it means the same elsewhere: this model on this device, no file relative to a folder."""
    labels = job.wishes.labels and Path(job.wishes.labels).absolute()
    held = dict(model.opened.graph.held)
    wishes = replace(job.wishes, device=model.device, labels=labels, hold=held or None)
    paths = {name: getattr(job, name).absolute() for name in ("model", "folder", "root")}
    return replace(job, sha256=model.opened.graph.sha256, wishes=wishes, **paths)


def require_answers(explainer: Explainer) -> None:
    """Raise what the method says to any picture of this model, before a million rows say it."""
    [found] = explainer.decide([explainer.model.opened.samples[:1]])
    if isinstance(found, (ModelError, CheckError)):
        raise found


def remarks(job: Job, model: Model, names: Sequence[str]) -> Iterator[str]:
    """Yield how pictures become input, and what speaks against that by the first of the first ones that opens."""
    yield f"preprocessing {preprocessing_text(asdict(model.opened.preprocessing))}"
    for name in names[:8]:
        picture = attempt(job.opener, job.root / name)
        if isinstance(picture, Picture):
            yield from doubts_of(model, picture)
            return


def unfinished(job: Job, names: Sequence[str], size: int) -> list[Shard]:
    shards = (Shard(i, start, names[start : start + size]) for i, start in enumerate(range(0, len(names), size)))
    return [shard for shard in shards if not is_done(job, shard)]


def is_done(job: Job, shard: Shard) -> bool:
    return (job.folder / part_name(shard.number, job.form.suffix)).exists()


def require_done(job: Job, shards: Sequence[Shard]) -> None:
    """Raise OutputError where workers on other machines wrote somewhere else."""
    for shard in shards:
        if not is_done(job, shard):
            name = part_name(shard.number, job.form.suffix)
            raise OutputError(f"{name} was written and is not in {job.folder}; workers must share that folder")


# ----- the folder -----


def plan_of(job: Job, model: Model, names: Sequence[str], size: int) -> dict[str, Any]:
    """Return everything that rows depend on, as JSON has it."""
    opened = model.opened
    split, preprocessing = model.split, asdict(opened.preprocessing)
    del preprocessing["reason"]
    plan = {
        "ddcam": metadata.version("ddcam"),
        "model": escaped(job.model.name),
        "sha256": job.sha256,
        "split": f"{split.tensor}, {split.count} {split.units} units",
        "baseline": split.baseline,
        "preprocessing": preprocessing,
        "labels": digest(opened.labels.names),
        "held": shown(opened.graph.held),
        "device": model.device,
        "masks a run": model.batch,
        "rounding": model.rounding,
        "method": job.method,
        "target": job.target,
        "preserve": job.preserve or default_predicate(opened, job.target),
        "text": job.text,
        "maps": job.maps,
        "format": job.form.suffix,
        "pictures": len(names),
        "of": escaped(str(job.root)),
        "names": digest(names),
        "shard": size,
    }
    agreed: dict[str, Any] = json.loads(json.dumps(plan))
    return agreed


def digest(names: Sequence[str]) -> str:
    """Return the sha256 of a list of names."""
    lines = (json.dumps(name).encode() + b"\n" for name in names)
    found = hashlib.sha256()
    for line in lines:
        found.update(line)
    return found.hexdigest()


def agree(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan, or compare it with the one that the folder was begun with; OutputError where they differ."""
    before = read_plan(folder)
    for key, value in plan.items():
        if before and before.get(key) != value:
            raise OutputError(
                f"{folder} holds a run with {key} {before.get(key)!r}, and this one has {value!r}; "
                "choose another -o, or overwrite it with --force"
            )
    if not before:
        with whole_file(folder / PLAN, replace=True) as file:
            file.write_text(json.dumps(plan, indent=1, ensure_ascii=False), encoding="utf-8")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it; OutputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    with lock:
        if not claim(lock):
            raise OutputError(f"another process is writing {folder}; wait for it, or choose another -o")
        yield


def refuse_other_folder(folder: Path) -> None:
    """Raise OutputError where a folder cannot be made, or holds something else."""
    if not folder.exists():
        refuse_under_file(folder)
    elif not folder.is_dir() or not ((folder / PLAN).is_file() or is_empty(folder) or only_lock(folder)):
        raise OutputError(f"{folder} exists and holds no {PLAN}; choose another -o")


def only_lock(folder: Path) -> bool:
    return [file.name for file in folder.iterdir()] == [LOCK]


def restart(folder: Path) -> None:
    """Remove what an earlier run has left in a folder; OutputError where it is something else, or in use."""
    if not folder.exists():
        return
    refuse_other_folder(folder)
    with writing(folder):
        for file in (*parts(folder), *folder.glob(PLAN)):
            remove(file)


def sweep(job: Job) -> None:
    """Remove what broke off: files under temporary names, and maps without their rows."""
    for file in parts(job.folder):
        if file.name.startswith(".") or not file.with_suffix(f".{job.form.suffix}").exists():
            remove(file)


def parts(folder: Path) -> list[Path]:
    """Return the files and folders of shards, unfinished ones too."""
    return [*folder.glob("part-*"), *folder.glob(".part-*")]


def remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
