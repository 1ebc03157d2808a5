"""An explain server for one model, in KServe's protocols V1 and V2, on Starlette and uvicorn."""

from ...engine.errors import MissingPackageError

try:
    import prometheus_client as _prometheus_client  # noqa: F401  (see that all three are there before any is used)
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise MissingPackageError(
        'ddcam.adapters.serve needs starlette, uvicorn and prometheus-client; pip install "ddcam[serve]"'
    ) from error

from .app import make_app
from .run import listen, run
from .served import Limits, Served, open_served

__all__ = ["Limits", "Served", "listen", "make_app", "open_served", "run"]
