"""The routes of the server, and how what they refuse is told."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .calls import Reader
from .numbers import Numbers
from .served import Served
from .service import Service
from .v1 import read_explain, read_predict
from .v2 import metadata, read_infer

Endpoint = Callable[[Request], Awaitable[Response]]
ROUTE = "ddcam.route"
"""Where a request's scope holds what its route is counted as."""


def make_app(served: Served) -> ASGIApp:
    """Make the ASGI application that serves a model."""
    service = Service(served)
    app = Starlette(
        routes=[*v1_routes(service), *v2_routes(service), route("/metrics", "metrics", measured(service))],
        exception_handlers={HTTPException: refused},  # type: ignore[dict-item]  # its handlers take any Exception
        lifespan=service.open,
    )

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        await counted(partial(app, scope, receive), service.numbers, scope, send)

    return outermost


def v1_routes(service: Service) -> list[Route]:
    name, one = service.served.name, "/v1/models/{name}"
    return [
        route(f"{one}:predict", "v1-predict", asking(service, read_predict), "POST"),
        route(f"{one}:explain", "v1-explain", asking(service, read_explain), "POST"),
        route("/v1/models", "v1-models", telling({"models": [name]})),
        route(one, "v1-model", about(service, {"name": name, "ready": True})),
    ]


def v2_routes(service: Service) -> list[Route]:
    name = service.served.name
    server = {"name": "ddcam", "version": version("ddcam"), "extensions": ["binary_tensor_data"]}
    routes = [
        route("/v2", "v2-server", telling(server)),
        route("/v2/health/live", "v2-live", telling({"live": True})),
        route("/v2/health/ready", "v2-ready", telling({"ready": True})),
    ]
    for one in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            route(one, "v2-model", about(service, metadata(service.served))),
            route(f"{one}/ready", "v2-model-ready", about(service, {"name": name, "ready": True})),
            route(f"{one}/infer", "v2-infer", asking(service, read_infer), "POST"),
        ]
    return routes


def route(path: str, name: str, endpoint: Endpoint, method: str = "GET") -> Route:
    async def named(request: Request) -> Response:
        request.scope[ROUTE] = name
        return await endpoint(request)

    return Route(path, named, methods=[method])


def asking(service: Service, reader: Reader) -> Endpoint:
    """Answer what a reader of a protocol makes of the request."""
    return partial(service.answer, reader)


def telling(known: Mapping[str, object]) -> Endpoint:
    """Answer what is known beforehand."""

    async def tell(_: Request) -> Response:
        return JSONResponse(known)

    return tell


def about(service: Service, known: Mapping[str, object]) -> Endpoint:
    """Answer what is known beforehand of the model that the path names."""

    async def tell(request: Request) -> Response:
        service.require_model(request)
        return JSONResponse(known)

    return tell


def measured(service: Service) -> Endpoint:
    async def tell(_: Request) -> Response:
        return Response(generate_latest(service.numbers.registry), media_type=CONTENT_TYPE_LATEST)

    return tell


async def refused(_: Request, error: HTTPException) -> Response:
    """Tell a refusal as both protocols do; a body that was not read ends its connection."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def counted(answer: Callable[[Send], Awaitable[None]], numbers: Numbers, scope: Scope, send: Send) -> None:
    """Have a request answered and count it, by its route: paths are whatever strangers write."""
    if scope["type"] != "http":
        return await answer(send)
    started, code = time.perf_counter(), 500

    async def sent(message: Message) -> None:
        nonlocal code
        if message["type"] == "http.response.start":
            code = message["status"]
        await send(message)

    try:
        return await answer(sent)
    finally:
        name = scope.get(ROUTE, "none")
        numbers.requests.labels(name, str(code)).inc()
        numbers.seconds.labels(name).observe(time.perf_counter() - started)
