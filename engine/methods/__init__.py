"""The catalogue of methods: one file each, listed here by hand."""

from ..named import listed, named, names_in
from .ablation_cam import ablation_cam
from .attention import attention_relevance, attention_rollout
from .cam import cam
from .cf_cam import cf_cam
from .craft import craft
from .d_rise import d_rise
from .dd_cam import dd_cam
from .deeplift import deeplift
from .eigen_cam import eigen_cam, kpca_cam
from .eigen_grad_cam import eigen_grad_cam
from .epic import epic
from .fem import fem
from .finer_cam import finer_cam
from .full_grad import full_grad
from .grad_cam import grad_cam
from .grad_cam_plusplus import grad_cam_plusplus
from .guided import deconvolution, guided_backpropagation, guided_grad_cam
from .hirescam import grad_cam_elementwise, hirescam
from .hsic import hsic
from .integrated_gradients import integrated_gradients
from .kernel_shap import kernel_shap
from .layer_cam import layer_cam, layer_cam_fused
from .lime import lime
from .lrp import lrp
from .nested import nested
from .norm_grad import norm_grad, norm_grad_product
from .occlusion import occlusion
from .opti_cam import opti_cam
from .recipro_cam import recipro_cam
from .registry import Method
from .rex import rex
from .rise import rise
from .saliency import input_x_gradient, saliency
from .score_cam import is_cam, score_cam, ss_cam
from .shapley import shapley
from .shapley_cam import shapley_cam
from .sis import sis
from .smooth_grad import smooth_grad, smooth_grad_squared, var_grad
from .smooth_grad_cam_plusplus import smooth_grad_cam_plusplus
from .sobol import sobol
from .xgrad_cam import xgrad_cam

LISTED: tuple[Method, ...] = (
    dd_cam,
    nested,
    shapley,
    cam,
    grad_cam,
    grad_cam_plusplus,
    smooth_grad_cam_plusplus,
    xgrad_cam,
    hirescam,
    grad_cam_elementwise,
    layer_cam,
    layer_cam_fused,
    eigen_grad_cam,
    shapley_cam,
    finer_cam,
    norm_grad,
    norm_grad_product,
    cf_cam,
    eigen_cam,
    kpca_cam,
    fem,
    ablation_cam,
    recipro_cam,
    score_cam,
    ss_cam,
    is_cam,
    opti_cam,
    saliency,
    input_x_gradient,
    smooth_grad,
    smooth_grad_squared,
    var_grad,
    integrated_gradients,
    full_grad,
    guided_backpropagation,
    deconvolution,
    guided_grad_cam,
    deeplift,
    lrp,
    attention_relevance,
    attention_rollout,
    occlusion,
    rise,
    d_rise,
    lime,
    kernel_shap,
    sobol,
    hsic,
    sis,
    rex,
    craft,
    epic,
)
METHODS: dict[str, Method] = {method.name: method for method in LISTED}


def method_named(text: str) -> Method:
    """Return a method of the catalogue: NAME, or NAME:OPTION=VALUE with as many options as are wanted.

    Raises OptionError with what there is.
    """
    method, options = named("method", text, METHODS)
    return method.with_options(options)


def methods_named(text: str) -> dict[str, Method]:
    """Return methods by the names they were asked for by, each once: names with commas between, with options or not.

    `all` is every method that needs no file, `all:FAMILY` those of a family. Raises OptionError with what there is.
    """
    free = {name: known.facts.family for name, known in METHODS.items() if not known.facts.needs.endswith("file")}
    return {name: method_named(name) for name in names_in(text, free, "method")}


def catalogue() -> list[dict[str, str]]:
    """Return one row a method, as texts: what it is, needs and costs, and where it is from."""
    return [
        {
            "method": method.name,
            "family": method.facts.family,
            "needs": method.facts.needs,
            "class": method.facts.sees_class,
            "graph": "yes" if method.formula else "no",
            "cost": method.facts.cost,
            "options": listed(method.options) or "-",
            "paper": method.facts.paper,
        }
        for method in LISTED
    ]


__all__ = ["LISTED", "METHODS", "Method", "catalogue", "method_named", "methods_named"]
