"""The engine: everything that needs no file format but ONNX and no library but the core ones."""

from .errors import DdcamError
from .explain import explain, require_request, save
from .explanation_file import open_explanation, require_writable
from .gradient_file import Derivative, write_gradient
from .inspect import inspect
from .methods import METHODS, catalogue
from .model import Model, load
from .split_files import split_files
from .types import Explanation, Picture, Wishes
from .verify import Verdict, verify

__all__ = [
    "METHODS",
    "DdcamError",
    "Derivative",
    "Explanation",
    "Model",
    "Picture",
    "Verdict",
    "Wishes",
    "catalogue",
    "explain",
    "inspect",
    "load",
    "open_explanation",
    "require_request",
    "require_writable",
    "save",
    "split_files",
    "verify",
    "write_gradient",
]
