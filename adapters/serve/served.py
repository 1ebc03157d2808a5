"""What is served: a model under a name, loaded once for each worker, and the limits of it all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...engine.errors import GradientError, OptionError
from ...engine.explainer import Explainer
from ...engine.own_outputs import OwnOutputs, open_own_outputs
from ...engine.preserved import default_predicate
from ...engine.types import Picture

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    `queue` is the most pictures under way, `pictures` the most that share a run, `wait` the seconds that the first of
    a run waits for others, `timeout` the seconds of a request, `bytes` those of a body, `pixels` those of a picture.
    """

    queue: int = 64
    pictures: int = 8
    wait: float = 0.0
    timeout: float = 30.0
    bytes: int = 16 * MIB
    pixels: int = 25_000_000


@dataclass(frozen=True)
class Worker:
    """A model loaded for one worker: what explains with it, and what gives its own outputs."""

    explainer: Explainer
    own: OwnOutputs


@dataclass(frozen=True)
class Served:
    """A model under a name; `decode` makes pictures of the bytes of files (name, bytes, most pixels)."""

    name: str
    workers: tuple[Worker, ...]
    preserve: str
    decode: Callable[[str, bytes, int], Picture]
    limits: Limits = field(default_factory=Limits)

    @property
    def first(self) -> Worker:
        """The worker that is asked what is the same for all of them."""
        return self.workers[0]

    def open_picture(self, name: str, data: bytes) -> Picture:
        """Decode the file of a picture; PictureError where it is none, or too large."""
        return self.decode(name, data, self.limits.pixels)


def open_served(
    name: str,
    explainers: Sequence[Explainer],
    preserve: str | None,
    decode: Callable[[str, bytes, int], Picture],
    limits: Limits,
) -> Served:
    """Make ready to serve, so that the first request waits for nothing; `explainers` are of models loaded apart.

    Raises OptionError for a name that no URL can hold, GradientError for a method that cannot explain the model. Cost:
    a session of the whole file and one explanation for each.
    """
    if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise OptionError(f"expected a name of letters, digits, '-', '_' and '.', got {name!r}; give another --name")
    workers = tuple(warmed(explainer) for explainer in explainers)
    opened = workers[0].explainer.model.opened
    return Served(name, workers, preserve or default_predicate(opened), decode, limits)


def warmed(explainer: Explainer) -> Worker:
    """Explain a photograph, which opens what a method needs; only that it can never work is an error yet."""
    [found] = explainer.decide([explainer.model.opened.samples[:1]])
    if isinstance(found, GradientError):
        raise found
    return Worker(explainer, open_own_outputs(explainer.model))
