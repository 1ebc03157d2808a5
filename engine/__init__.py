"""The engine: everything that needs no file format but ONNX and no library but the core ones."""

from .answer import Explanation
from .bulk import bulk
from .bulk import restart as restart_bulk
from .bulk_shard import Job
from .bulk_workers import Deal, locally
from .choose import Choice, loader, require_score
from .compare import Comparison, Contest, Row, compare
from .comparison_file import describe_comparison, require_free, save_comparison
from .detector import Seen, open_detector
from .errors import DdcamError
from .evaluate import Plan, evaluate, restart
from .explain import explain, require_request, save, units_for
from .explainer import Decision, Explainer, Prepared
from .explanation_file import open_explanation, require_writable
from .export import SIZES, Agreement, Export, check_export, embedded, export
from .fit import find_concepts, find_prototypes, refuse_existing_fit
from .gradient_file import Derivative, write_gradient
from .inspect import inspect
from .methods import METHODS, Method, catalogue, methods_named
from .metrics import METRICS, metric_catalogue, metrics_named
from .model import Model, load
from .results import means, results, summary_json, write_results
from .split_files import split_files
from .strict import in_words, inspect_strictly, verdict
from .triton import triton_repository
from .types import Picture, Wishes
from .verify import Verdict, verify

__all__ = [
    "METHODS",
    "METRICS",
    "SIZES",
    "Agreement",
    "Choice",
    "Comparison",
    "Contest",
    "DdcamError",
    "Deal",
    "Decision",
    "Derivative",
    "Explainer",
    "Explanation",
    "Export",
    "Job",
    "Method",
    "Model",
    "Picture",
    "Plan",
    "Prepared",
    "Row",
    "Seen",
    "Verdict",
    "Wishes",
    "bulk",
    "catalogue",
    "check_export",
    "compare",
    "describe_comparison",
    "embedded",
    "evaluate",
    "explain",
    "export",
    "find_concepts",
    "find_prototypes",
    "in_words",
    "inspect",
    "inspect_strictly",
    "load",
    "loader",
    "locally",
    "means",
    "methods_named",
    "metric_catalogue",
    "metrics_named",
    "open_detector",
    "open_explanation",
    "refuse_existing_fit",
    "require_free",
    "require_request",
    "require_score",
    "require_writable",
    "restart",
    "restart_bulk",
    "results",
    "save",
    "save_comparison",
    "split_files",
    "summary_json",
    "triton_repository",
    "units_for",
    "verdict",
    "verify",
    "write_gradient",
    "write_results",
]
