"""Quantus (and captum, where it knows more) as the judge of metrics: the same values where the definitions agree."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torchvision_operators import require_torchvision

from ddcam.engine.answer import Attribution
from ddcam.engine.metrics import METRICS, Attempt, Case, Mosaic, unit_range
from ddcam.engine.metrics.infidelity import draw_squares, hide, inside
from ddcam.engine.metrics.ladder import ranks
from ddcam.engine.metrics.likeness import likeness
from ddcam.engine.metrics.road import imputed, removed

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIDE, TARGET = 16, 1
INPUTS = np.random.default_rng(0).normal(size=(1, 1, SIDE, SIDE)).astype(np.float32)
MAP = np.random.default_rng(1).random((SIDE, SIDE)) ** 3
BOX = np.zeros((SIDE, SIDE), bool)
BOX[3:11, 5:14] = True
QUIET: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False}


@pytest.fixture(scope="module")
def quantus() -> ModuleType:
    """Import Quantus, which imports torchvision."""
    require_torchvision()
    return pytest.importorskip("quantus", exc_type=ImportError)


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 12 * 12, 3)
    return torch.nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def case(network: Any) -> Case:
    def score(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return torch.softmax(network(torch.from_numpy(np.asarray(inputs, np.float32))), dim=1).numpy()

    nothing = np.zeros_like(INPUTS)
    return Case(INPUTS, "NCHW", TARGET, score, nothing, nothing, box=BOX)


def asked(metric: Any, network: Any = None, **more: Any) -> Any:
    """Return what Quantus says of the map and the target."""
    given = {"x_batch": INPUTS.copy(), "y_batch": np.array([TARGET]), "a_batch": MAP[None, None].copy()}
    return metric(model=network, softmax=True, device="cpu", **{**given, **more})[0]


def with_fields(case: Case, **fields: Any) -> Case:
    return Case(**{**vars(case), **fields})


# ----- nothing is run -----


@pytest.mark.parametrize(("ours", "theirs"), [("sparseness", "Sparseness"), ("entropy", "Complexity")])
def test_how_a_map_is_spread(quantus: ModuleType, case: Case, ours: str, theirs: str) -> None:
    judged = asked(getattr(quantus, theirs)(normalise=True, abs=True, **QUIET))

    assert METRICS[ours](MAP, case) == pytest.approx(judged, rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_where_a_map_lies(quantus: ModuleType, case: Case, seed: int) -> None:
    found = unit_range(np.random.default_rng(seed).random((SIDE, SIDE)))
    where = {"s_batch": BOX[None, None], "a_batch": found[None, None]}

    assert METRICS["pointing-game"](found, case) == asked(quantus.PointingGame(**QUIET), **where)
    judged = asked(quantus.RelevanceMassAccuracy(**QUIET), **where)
    assert METRICS["energy"](found, case) == pytest.approx(judged, rel=1e-6)


def test_the_share_of_a_mosaic(quantus: ModuleType, case: Case, network: Any) -> None:
    signed = MAP - 0.2
    cell = np.zeros((SIDE, SIDE), bool)
    cell[: SIDE // 2, SIDE // 2 :] = True
    judged = asked(quantus.Focus(**QUIET), network, a_batch=signed[None, None], custom_batch=[(0, 1, 0, 0)])

    ours = METRICS["grid-pointing-game"](MAP, with_fields(case, mosaic=Mosaic(lambda: signed, cell)))
    assert ours == pytest.approx(judged, rel=1e-5)


# ----- likeness -----


def test_how_alike_two_maps_are(quantus: ModuleType) -> None:
    random = np.random.default_rng(2)
    other = np.round(MAP + random.random(MAP.shape), 1)  # many ties

    expected = quantus.correlation_spearman(MAP.ravel(), other.ravel())
    assert likeness(MAP, other, "rank") == pytest.approx(expected, abs=1e-12)
    assert likeness(MAP, other, "ssim") == pytest.approx(quantus.ssim(unit_range(MAP), unit_range(other)), abs=1e-9)


def test_the_map_of_another_class(quantus: ModuleType, case: Case, network: Any) -> None:
    maps = {label: np.random.default_rng(label).random((SIDE, SIDE)) for label in range(2)}
    metric = quantus.RandomLogit(similarity_func=quantus.correlation_spearman, num_classes=2, **QUIET)
    explain = {"explain_func": lambda targets, **_: maps[int(targets[0])][None, None]}
    judged = asked(metric, network, a_batch=maps[1][None, None], **explain)

    two = with_fields(case, explain_class=maps.__getitem__, score=lambda x: np.full((len(x), 2), 0.5))
    assert METRICS["label-randomisation"](maps[1], two) == pytest.approx(float(judged), abs=1e-12)


# ----- pictures that are changed -----


@pytest.mark.parametrize("pixels", [4, 16, 64])
def test_the_curve_of_flipped_pixels(quantus: ModuleType, case: Case, network: Any, pixels: int) -> None:
    metric = quantus.PixelFlipping(features_in_step=pixels, perturb_baseline=0.0, **QUIET)
    curve = np.array(asked(metric, network))

    ours = METRICS["pixel-flipping"](MAP, case, pixels=pixels)
    assert ours == pytest.approx(np.trapezoid(curve) / (len(curve) - 1), abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_imputed_alike(quantus: ModuleType, case: Case, channels: int) -> None:
    shares = [0.05, 0.2, 0.5, 0.8, 0.95]
    masks = removed(ranks(MAP), shares, ("morf",))
    picture = np.random.default_rng(3).normal(size=(1, channels, SIDE, SIDE))
    ours = imputed(with_fields(case, inputs=picture), masks, 0.0, np.random.default_rng(0))

    for mask, found in zip(masks, ours, strict=True):
        expected = quantus.noisy_linear_imputation(picture[0], np.flatnonzero(mask), noise=0.0)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_what_is_left_after_road_is_decided_alike(quantus: ModuleType, case: Case, network: Any) -> None:
    percents = list(range(5, 100, 10))
    for target in range(3):
        metric = quantus.ROAD(percentages=percents, noise=0.0, **QUIET)
        judged = metric(model=network, x_batch=INPUTS.copy(), y_batch=np.array([target]),
                        a_batch=MAP[None, None].copy(), softmax=True, device="cpu")  # fmt: skip
        masks = removed(ranks(MAP), [percent / 100 for percent in percents], ("morf",))
        ours = case.score(imputed(case, masks, 0.0, np.random.default_rng(0))).argmax(axis=1) == target

        assert [bool(judged[percent]) for percent in percents] == ours.tolist()


# ----- infidelity and sensitivity, on the same draws -----


def squares_of(case: Case, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks and the pictures that infidelity makes with seed 0."""
    random = np.random.default_rng(0)
    masks = inside(draw_squares(random, samples, (SIDE, SIDE)), (SIDE, SIDE))
    return masks, hide(case, masks, "mean", 0.0, random)


def tried(case: Case, signed: np.ndarray) -> Case:
    return with_fields(case, attempt=Attempt(Attribution("x", signed, signed, ""), signed, 0.0, None))


def test_infidelity_of_a_gradient(quantus: ModuleType, case: Case, network: Any) -> None:
    signed = MAP - 0.3
    waiting = iter(squares_of(case, 12)[1])
    metric = quantus.Infidelity(perturb_func=lambda arr, **_: next(waiting).reshape(1, -1), n_perturb_samples=12,
                                perturb_patch_sizes=[SIDE], **QUIET)  # fmt: skip
    judged = asked(metric, network, a_batch=signed[None, None])

    ours = METRICS["infidelity"](MAP, tried(case, signed), samples=12, scores="gradient", scale="none")
    assert ours == pytest.approx(float(judged), rel=1e-5)


def test_infidelity_of_contributions(case: Case) -> None:
    captum = pytest.importorskip("captum.metrics", exc_type=ImportError)
    signed = np.random.default_rng(4).normal(size=(SIDE, SIDE)) / 100 + 0.01
    masks, changed = squares_of(case, 12)

    def judged(scale: str) -> float:
        found = captum.infidelity(
            lambda inputs: torch.from_numpy(case.confidence(inputs.numpy())),
            lambda _: (torch.from_numpy(masks[:, None].astype(np.float32)), torch.from_numpy(changed)),
            torch.from_numpy(INPUTS),
            torch.from_numpy(signed[None, None]),
            n_perturb_samples=12,
            normalize=scale == "best",
        )
        return float(found[0])

    def ours(scale: str, sign: int = 1) -> float:
        return METRICS["infidelity"](MAP, tried(case, sign * signed), samples=12, scale=scale)

    lost = case.confidence(INPUTS)[0] - case.confidence(changed)
    wrong, right = sorted(ours("best", sign) for sign in (1, -1))[::-1]
    assert ours("none") == pytest.approx(judged("none"), rel=1e-4)
    assert right == pytest.approx(judged("best"), rel=1e-4)
    assert wrong == pytest.approx(float((lost**2).mean()), rel=1e-4)  # captum forgives the sign


def test_the_largest_change_by_noise(quantus: ModuleType, case: Case, network: Any) -> None:
    def explain(inputs: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(np.asarray(inputs, np.float32)).requires_grad_()
        torch.softmax(network(given), dim=1)[0, TARGET].backward()
        return np.abs(given.grad.numpy()[0, 0])

    first, noisy = explain(INPUTS), list[np.ndarray]()

    def remembered(inputs: np.ndarray) -> np.ndarray:
        noisy.append(inputs)
        return explain(inputs)

    ours = METRICS["max-sensitivity"](first, with_fields(case, explain=remembered), samples=6, radius=0.1)
    waiting = iter(noisy)
    by_theirs: Callable[..., np.ndarray] = lambda inputs, **_: explain(inputs)[None, None]  # noqa: E731
    metric = quantus.MaxSensitivity(nr_samples=6, perturb_func=lambda arr, **_: next(waiting).reshape(1, -1), **QUIET)

    judged = asked(metric, network, a_batch=first[None, None], explain_func=by_theirs)
    assert ours == pytest.approx(float(judged), rel=1e-5)
    assert max(np.abs(each - INPUTS).max() for each in noisy) <= 0.1 * np.ptp(INPUTS)
