"""Fetch a file of known size over HTTP(S): resumed where it broke off, never longer than it should be."""

import re
import shutil
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..engine.errors import DownloadError, OutputError

CHUNK = 1 << 16
TIMEOUT = 30.0
"""Seconds without a byte."""
TRIES = 3
"""Failures in a row without PROGRESS bytes between them."""
PROGRESS = 1 << 20
PAUSE = 1.0
"""Seconds before the second try; twice as many before the third."""
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be another one a moment later."""
REDIRECTS = 5


class _BrokenOffError(Exception):
    """The server did not send all of the file; it may the next time."""


def fetch(url: str, part: Path, size: int, *, timeout: float = TIMEOUT, pause: float = PAUSE) -> Iterator[int]:
    """Bring the file of `size` bytes at a URL to the path `part`; yield how many of its bytes are there.

    What is at the path is taken for its beginning and not asked for again; where the server cannot send the rest
    alone, all is fetched. At most `size` bytes are ever written, none where the server announces another size.
    Redirects are followed at most five times, from https to https only. Whether these are the right bytes, the caller
    must see. An interrupted file stays, to be resumed. Raises DownloadError, OutputError where the disk has no room,
    OSError where it cannot be written.
    """
    _require_scheme(url)
    if _length(part) > size:
        part.unlink()
    _require_space(part, size)
    failures = 0
    while (before := _length(part)) < size:
        try:
            yield from _once(url, part, size, timeout)
        except _BrokenOffError as error:
            failures = 1 if _length(part) >= before + PROGRESS else failures + 1
            if failures == TRIES:
                raise _failed(url, part, size, error) from None
            time.sleep(pause * failures)


def _once(url: str, part: Path, size: int, timeout: float) -> Iterator[int]:
    with _opened(url, part, timeout) as answer:
        done = _beginning(url, answer, part, size)
        with part.open("rb+" if done else "wb") as file:
            file.seek(done)
            for chunk in _chunks(answer):
                done += len(chunk)
                if done > size:
                    raise _another(url, size, "more")
                file.write(chunk)
                yield done
    if done < size:
        raise _BrokenOffError("the connection ended early")


def _opened(url: str, part: Path, timeout: float) -> Any:
    have = _length(part)
    headers = {"User-Agent": "ddcam", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        return build_opener(_Redirects).open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        raise _refused(url, part, error) from None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a redirect to what is no URL
        raise _BrokenOffError(getattr(error, "reason", error)) from None


def _chunks(answer: Any) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(error) from None


def _beginning(url: str, answer: Any, part: Path, size: int) -> int:
    """Return where in the file the answer begins; refuse one that is about a file of another size."""
    if answer.status == 200:
        announced = answer.headers.get("Content-Length", str(size))
        if announced != str(size):
            raise _another(url, size, announced)
        return 0
    place = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]+/([0-9]+|\*)", answer.headers.get("Content-Range", ""))
    if answer.status != 206 or place is None:
        raise DownloadError(f"expected the file at {url}, got the answer {answer.status}; try another --mirror")
    if place[2] not in ("*", str(size)):
        raise _another(url, size, place[2])
    if int(place[1]) != _length(part):
        part.unlink()
        raise _BrokenOffError("the server sends another part than it was asked for")
    return _length(part)


def _another(url: str, size: int, got: str) -> DownloadError:
    return DownloadError(f"expected {size} bytes at {url}, the server has {got}: another file; try another --mirror")


def _refused(url: str, part: Path, error: HTTPError) -> Exception:
    """What an answer of 300 and above means: try again, or what to do."""
    error.close()
    if error.code == 416:  # the part is longer than the file there
        part.unlink(missing_ok=True)
        return _BrokenOffError("the server has no rest of the file")
    if error.code in PASSING:
        return _BrokenOffError(f"the server answers {error.code} {error.reason}")
    if 300 <= error.code < 400:
        where = error.headers.get("Location", "nowhere")
        return DownloadError(
            f"{url} redirects to {where}, which is not followed: at most {REDIRECTS} times, https stays https; "
            "try another --mirror"
        )
    return DownloadError(f"expected the file at {url}, the server answers {error.code} {error.reason}; try --mirror")


def _failed(url: str, part: Path, size: int, error: _BrokenOffError) -> DownloadError:
    have = _length(part)
    kept = f"{have} of {size} bytes are kept, and the same command goes on there" if have else "try --mirror"
    return DownloadError(f"cannot fetch {url}: {error}; {kept}")


def _require_scheme(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"expected an http or https URL, got {url}")


def _require_space(part: Path, size: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < size - _length(part):
        raise OutputError(f"expected {size / 1e6:.0f} MB of free space for {part}, got {free / 1e6:.0f} MB; make room")


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


class _Redirects(HTTPRedirectHandler):
    """Follow a few redirects, and none from https to what others can read or change."""

    max_redirections = REDIRECTS
    max_repeats = 2

    def http_error_302(self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage) -> Any:
        """Follow; urllib leaves the connection open where a Location is no URL."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the next request."""
        if urlsplit(newurl).scheme not in (("https",) if req.type == "https" else ("http", "https")):
            raise HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
