"""Downloads from a server that is right, slow, broken, lying or hostile."""

import errno
import shutil
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
from webserver import Server, broken_off, in_turn, ranged, redirect, reply, status, whole

from ddcam.adapters import download
from ddcam.adapters.download import PROGRESS
from ddcam.engine.errors import DownloadError, OutputError

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx.part"


fetch = partial(download.fetch, timeout=0.3, pause=0.0)


def failing(url: str, part: Path, size: int = len(CONTENT)) -> str:
    with pytest.raises(DownloadError) as refused:
        list(fetch(url, part, size))
    return str(refused.value)


def test_a_file_comes_whole_and_is_counted(server: Server, part: Path) -> None:
    server.answers["/m"] = whole(CONTENT)

    steps = list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert steps == sorted(steps)
    assert steps[-1] == len(CONTENT)
    assert server.asked == [("/m", None)]


def test_what_breaks_off_is_resumed_where_it_ended(server: Server, part: Path) -> None:
    server.answers["/m"] = in_turn(broken_off(CONTENT, 100_000), broken_off(CONTENT, 50_000), ranged(CONTENT))

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]


def test_what_an_earlier_run_left_is_resumed(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:1234])
    server.answers["/m"] = ranged(CONTENT)

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1234-"]


def test_a_complete_file_is_not_asked_for(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT)

    assert list(fetch(f"{server.url}/m", part, len(CONTENT))) == []
    assert server.asked == []


def test_a_server_that_ignores_the_range_sends_all_again(server: Server, part: Path) -> None:
    part.write_bytes(b"x" * 1234)
    server.answers["/m"] = whole(CONTENT)

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT


def test_a_part_from_another_place_is_not_taken(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:1234])
    elsewhere = f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    lying = lambda handler: reply(handler, 206, CONTENT[1000:], Content_Range=elsewhere)  # noqa: E731
    server.answers["/m"] = in_turn(lying, ranged(CONTENT))

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1234-", None]


def test_a_part_that_is_longer_than_the_file_is_dropped(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT + b"more")
    server.answers["/m"] = ranged(CONTENT)

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_server_without_the_rest_is_asked_for_all(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:1234])
    server.answers["/m"] = in_turn(status(416), ranged(CONTENT))

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT


def test_a_server_that_keeps_breaking_off_is_given_up_and_the_part_kept(server: Server, part: Path) -> None:
    server.answers["/m"] = in_turn(broken_off(CONTENT, 100), broken_off(CONTENT, 0))

    message = failing(f"{server.url}/m", part)

    assert "the connection ended early; 100 of 256000 bytes are kept, and the same command goes on there" in message
    assert part.read_bytes() == CONTENT[:100]
    assert len(server.asked) == 3


def test_progress_between_failures_makes_them_count_anew(server: Server, part: Path) -> None:
    content = bytes(5 * PROGRESS)
    server.answers["/m"] = broken_off(content, PROGRESS)

    list(fetch(f"{server.url}/m", part, len(content)))

    assert len(server.asked) == 5


def test_a_silent_server_is_given_up(server: Server, part: Path) -> None:
    def stalls(handler) -> None:
        reply(handler, 200, CONTENT[:5000], Content_Length=len(CONTENT))
        handler.wfile.flush()
        server.closing.wait(5)

    server.answers["/m"] = stalls

    message = failing(f"{server.url}/m", part)

    assert "timed out; 5000 of 256000 bytes are kept" in message


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server: Server, part: Path, code: int) -> None:
    server.answers["/m"] = status(code)

    message = failing(f"{server.url}/m", part)

    assert f"the server answers {code} " in message
    assert len(server.asked) == 1
    assert not part.exists()


def test_a_passing_error_is_tried_again(server: Server, part: Path) -> None:
    server.answers["/m"] = in_turn(status(500), status(503), whole(CONTENT))

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT


def test_a_lasting_server_error_is_told(server: Server, part: Path) -> None:
    server.answers["/m"] = status(500)

    assert "the server answers 500 Internal Server Error; try --mirror" in failing(f"{server.url}/m", part)
    assert len(server.asked) == 3


@pytest.mark.parametrize("code", [204, 206])
def test_an_answer_that_is_no_file_is_refused(server: Server, part: Path, code: int) -> None:
    server.answers["/m"] = lambda handler: reply(handler, code, b"")

    assert f"got the answer {code}" in failing(f"{server.url}/m", part)


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_file_of_another_size_is_refused_before_a_byte_is_written(server: Server, part: Path, size: int) -> None:
    server.answers["/m"] = whole(CONTENT)

    message = failing(f"{server.url}/m", part, size)

    assert f"expected {size} bytes" in message
    assert "the server has 256000: another file" in message
    assert not part.exists()


def test_the_rest_of_a_file_of_another_size_is_refused(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:10])
    server.answers["/m"] = ranged(CONTENT + b"more")

    assert "the server has 256004: another file" in failing(f"{server.url}/m", part)
    assert part.read_bytes() == CONTENT[:10]


def test_a_stream_without_end_is_cut_at_the_declared_size(server: Server, part: Path) -> None:
    server.answers["/m"] = lambda handler: reply(handler, 200, CONTENT * 4, Content_Length=None)

    assert "the server has more: another file" in failing(f"{server.url}/m", part)
    assert part.stat().st_size <= len(CONTENT)


def test_a_stream_of_the_right_length_that_announces_none_is_taken(server: Server, part: Path) -> None:
    server.answers["/m"] = lambda handler: reply(handler, 200, CONTENT, Content_Length=None)

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_its_range(server: Server, part: Path, code: int) -> None:
    part.write_bytes(CONTENT[:9])
    server.answers |= {"/m": redirect("/elsewhere", code), "/elsewhere": ranged(CONTENT)}

    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert part.read_bytes() == CONTENT
    assert server.asked == [("/m", "bytes=9-"), ("/elsewhere", "bytes=9-")]


def test_redirects_without_end_are_refused(server: Server, part: Path) -> None:
    server.answers |= {f"/{i}": redirect(f"/{i + 1}") for i in range(20)}
    server.answers["/m"] = redirect("/m")

    assert "redirects to /m, which is not followed" in failing(f"{server.url}/m", part)
    assert "redirects to /6, which is not followed" in failing(f"{server.url}/0", part)


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/m", "data:,x", "//", "http://[", "https://"])
def test_a_redirect_to_anything_else_is_refused(server: Server, part: Path, where: str) -> None:
    server.answers["/m"] = redirect(where)

    failing(f"{server.url}/m", part)

    assert not part.exists()


def test_a_redirect_from_https_to_http_is_refused() -> None:
    handler, request = download._Redirects(), download.Request("https://host/m")

    with pytest.raises(download.HTTPError):
        handler.redirect_request(request, None, 302, "Found", {}, "http://host/m")  # type: ignore[arg-type]
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://other/m")  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/m", "/etc/passwd", "data:,x"])
def test_only_the_web_is_asked(part: Path, url: str) -> None:
    assert failing(url, part) == f"expected an http or https URL, got {url}"


def test_a_server_that_is_not_there_is_told(part: Path) -> None:
    message = failing("http://127.0.0.1:9/m", part)

    assert "cannot fetch http://127.0.0.1:9/m: [Errno" in message
    assert "refused" in message


def test_a_server_that_speaks_no_http_is_told(server: Server, part: Path) -> None:
    server.answers["/m"] = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    assert "SSH-2.0" in failing(f"{server.url}/m", part)


def test_a_disk_without_room_is_told_before_the_server_is_asked(
    server: Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1_000_000))

    with pytest.raises(OutputError, match=r"expected 9 MB of free space for .*, got 1 MB; make room"):
        list(fetch(f"{server.url}/m", part, 9_000_000))
    assert server.asked == []


def test_a_disk_that_fills_up_is_no_failure_of_the_server(server: Server, part: Path) -> None:
    server.answers["/m"] = whole(CONTENT)
    steps = fetch(f"{server.url}/m", part, len(CONTENT))
    next(steps)

    with pytest.raises(OSError, match="No space") as full:
        steps.throw(OSError(errno.ENOSPC, "No space left on device"))

    assert not isinstance(full.value, DownloadError)
    assert len(server.asked) == 1


def test_ctrl_c_leaves_what_came_so_far(server: Server, part: Path) -> None:
    server.answers["/m"] = in_turn(whole(CONTENT), ranged(CONTENT))
    steps = fetch(f"{server.url}/m", part, len(CONTENT))
    next(steps)

    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
    have = part.stat().st_size
    list(fetch(f"{server.url}/m", part, len(CONTENT)))

    assert 0 < have < len(CONTENT)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={have}-"]
