"""A picture file from the web: HTTP and HTTPS only, up to a size, within a time."""

import time
from typing import Any

from ...engine.errors import PictureError

LIMIT = 1 << 26
"""Bytes of a file: 64 MiB."""
SECONDS = 60.0
"""For the whole file; a server that says nothing for TIMEOUT seconds is given up earlier."""
TIMEOUT = 15.0
CHUNK = 1 << 16


def fetch(url: str) -> bytes:
    """Fetch a file over HTTP or HTTPS, proxies as the environment has them, redirects to these two alone.

    It asks whatever server the URL names, inside a private network too: do not hand it URLs of strangers. Raises
    PictureError for other schemes, no answer within 15 s, a whole of more than 60 s or more than 64 MiB.
    """
    from http.client import HTTPException  # noqa: PLC0415  (nobody waits for it who opens files, as for `opener`'s)
    from urllib.error import HTTPError  # noqa: PLC0415

    if not url.lower().startswith(("http://", "https://")):
        raise PictureError(f"expected a URL of http or https, got {url!r}; fetch it yourself and give the file")
    ends = time.monotonic() + SECONDS
    try:
        with opener().open(url, timeout=TIMEOUT) as answer:
            return received(answer, url, ends)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a URL that is none
        if isinstance(error, PictureError):
            raise
        if isinstance(error, HTTPError):
            error.close()  # it is the answer, too, and holds the connection
        reason = getattr(error, "reason", None) or error
        raise PictureError(f"expected a picture at {url!r}, got: {reason}; check the URL") from None


def opener() -> Any:
    """Make what opens URLs and knows neither ftp nor file, so that no redirect leads there."""
    from urllib import request  # noqa: PLC0415  (50 ms that nobody waits for who opens files)

    made = request.OpenerDirector()
    made.addheaders = [("User-Agent", "ddcam")]
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
    ):
        made.add_handler(handler())
    return made


def received(answer: Any, url: str, ends: float) -> bytes:
    found = bytearray()
    while chunk := answer.read1(CHUNK):
        found += chunk
        if len(found) > LIMIT:
            raise PictureError(f"expected up to {LIMIT} bytes at {url!r}, got more; fetch it yourself")
        if time.monotonic() > ends:
            raise PictureError(
                f"expected a picture at {url!r} within {SECONDS:g} s, got a part of it; fetch it yourself"
            )
    return bytes(found)
