"""Open the page of examples/embed in a headless Chromium and give what it posts."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

SECONDS = 180
"""A page that has not answered by then never will."""


def posted_by_page(site: Path, folder: Path, *, screenshot: Path | None = None) -> Any:
    """Show the page of a site with a folder that prepare.py made; return what came out for its pictures.

    Helpers of a browser that was ended may still write into its profile.
    """
    with served(site, folder) as (address, posted), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless",
            "--no-sandbox",
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={1000 * SECONDS}",
        ]
        shot = [f"--screenshot={screenshot}"] if screenshot else ["--dump-dom"]
        command = ["chromium", *options, *shot, f"--timeout={1000 * SECONDS}", address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            try:
                return posted.get(timeout=SECONDS)
            finally:
                browser.terminate()


@contextmanager
def served(site: Path, folder: Path) -> Iterator[tuple[str, Queue[Any]]]:
    """Serve a site with a prepared folder; give the page's address, and what it posts."""
    posted: Queue[Any] = Queue()

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            rest = path.partition("?")[0].removeprefix("/prepared/")
            return str(folder / rest) if path.startswith("/prepared/") else super().translate_path(path)

        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html?post=result", posted
        finally:
            server.shutdown()
            thread.join()
