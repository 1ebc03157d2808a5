"""Rows outlive whatever happens to the process that writes them."""

import os
from pathlib import Path

import pytest

from ddcam.engine.errors import OutputError
from ddcam.engine.journal import journal, rows_of


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    with journal(tmp_path / "rows") as rows:
        for number in range(5):
            rows.append({"number": number, "name": "Zoë\n"})

    assert rows_of(tmp_path / "rows") == [{"number": number, "name": "Zoë\n"} for number in range(5)]


@pytest.mark.parametrize("torn", [b'{"number": 1', b"{", b'{"number": 1}'])
def test_what_an_interrupted_write_has_left_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "rows").write_bytes(b'{"number": 0}\n' + torn)

    assert rows_of(tmp_path / "rows") == [{"number": 0}]
    with journal(tmp_path / "rows") as rows:
        rows.append({"number": 2})
    assert rows_of(tmp_path / "rows") == [{"number": 0}, {"number": 2}]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b'{"number": 0}\nrubbish\n{"number": 2}\n')

    with pytest.raises(OutputError, match=r"line 2 of .*rows"):
        rows_of(tmp_path / "rows")


def test_two_processes_cannot_write_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with journal(tmp_path / "rows"), pytest.raises(OutputError, match="another process"), journal(tmp_path / "rows"):
        pass


def test_a_full_disk_leaves_the_rows_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal(tmp_path / "rows") as rows:
        rows.append({"number": 0})
        calls, write = [], os.write

        def half(descriptor: int, line: bytes) -> int:
            calls.append(line)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            return write(descriptor, line[:4])

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(OutputError, match="No space left on device"):
            rows.append({"number": 1})

    assert (tmp_path / "rows").read_bytes() == b'{"number": 0}\n'
