"""Which methods suit what a model looks at: some take neighbours on a map for neighbours in a volume."""

from ..errors import OptionError
from ..types import PictureInput

OF_PLANES = frozenset(
    {"nested", "layer-cam-fused", "norm-grad-product", "score-cam", "ss-cam", "is-cam", "opti-cam", "fullgrad"}
    | {"guided-grad-cam", "recipro-cam", "occlusion", "rise", "d-rise", "lime", "kernel-shap", "sobol", "hsic", "sis"}
    | {"rex", "craft", "epic", "attention-relevance", "attention-rollout"}
)
"""Methods that enlarge, smooth or cut up maps and pictures in a plane; in a volume slices lie below each other."""


def require_form(method: str, picture: PictureInput) -> None:
    """Raise OptionError for a method that does not take what the model looks at; options may follow its name."""
    name = method.partition(":")[0]
    if picture.form == "volume" and name in OF_PLANES:
        raise OptionError(
            f"{name} takes pictures [H, W] and series [T], the model takes a volume of {picture.depth} slices; take "
            "dd-cam, shapley, grad-cam, layer-cam, integrated-gradients or another that reads channels or gradients"
        )
    if picture.form == "series" and name in ("craft", "epic"):
        raise OptionError(f"{name} shows pieces of pictures, the model takes a series; take another method")


def require_picture(work: str, picture: PictureInput) -> None:
    """Raise OptionError where what is to be done draws or cuts pictures and the model takes something else."""
    if picture.form != "picture":
        raise OptionError(
            f"{work} draws pictures, the model takes a {picture.form}; explain it with one method after another"
        )
