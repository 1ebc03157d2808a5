"""Lists of pictures as people keep them, and rows as Parquet and as lines of JSON, through the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from many import many_pictures

from ddcam.adapters.bulk import find_pictures, form_named
from ddcam.engine.bulk_rows import COLUMNS
from ddcam.engine.errors import OptionError
from ddcam.models import demo_path

parquet = pytest.importorskip("pyarrow.parquet")
pyarrow = pytest.importorskip("pyarrow")
MODEL = demo_path("digits_cnn_additive")
Console = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Make pictures/000.png to 005.png, one deeper, one hidden, and something else."""
    folder = tmp_path / "pictures"
    (folder / "a" / "b").mkdir(parents=True)
    many_pictures(folder, 6)
    (folder / "005.png").rename(folder / "a" / "b" / "z.PNG")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("000.png\n")
    return folder


def test_a_folder_gives_what_is_in_it_and_below_in_order(pictures: Path) -> None:
    assert find_pictures(pictures) == (pictures, [*(f"00{i}.png" for i in range(5)), "a/b/z.PNG"])


LISTS = {
    "list.txt": b"\xef\xbb\xbfb.png\r\n\r\n /x/a.png \nb.png",
    "list.csv": b"label,file\n1,b.png\n2,/x/a.png\n3,b.png\n",
    "list.tsv": b"path\tlabel\nb.png\t1\n/x/a.png\t2\nb.png\t\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_keeps_its_order_and_its_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(LISTS[name])
    assert find_pictures(tmp_path / name) == (tmp_path, ["b.png", "/x/a.png", "b.png"])


def test_a_parquet_file_has_names_in_a_column(tmp_path: Path) -> None:
    table = pyarrow.table({"label": [1, 2, 3], "Image": ["b.png", None, "a.png"]})
    parquet.write_table(table, tmp_path / "list.parquet")
    assert find_pictures(tmp_path / "list.parquet") == (tmp_path, ["b.png", "", "a.png"])


def test_names_of_no_encoding_lead_to_their_files(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff.png\n")
    _, [name] = find_pictures(tmp_path / "list.txt")
    assert bytes(tmp_path / name).endswith(b"/\xff.png")


WRONG = {
    "nowhere": (None, "found nothing at"),
    "empty.txt": (b"\n\n", "found none"),
    "photo.png": (b"\x89PNG", "is one picture; take ddcam explain"),
    "binary.txt": (b"a\0b", "got a binary file"),
    "names.csv": (b"label\n1\n", "expected a column path or file"),
    "no.parquet": (b"nope", "expected a Parquet file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str) -> None:
    content, reason = WRONG[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError, match=reason):
        find_pictures(tmp_path / name)


def test_a_parquet_file_without_names_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "list.parquet")
    with pytest.raises(OptionError, match=r"expected a column path or file .* got label"):
        find_pictures(tmp_path / "list.parquet")


def test_parquet_and_json_hold_the_same_rows(console: Console, pictures: Path, tmp_path: Path) -> None:
    (pictures / "002.png").write_bytes(b"no picture")
    asked = ("batch", MODEL, pictures, "--workers", 1, "--shard", 4, "--preserve", "confidence:0.9")
    code, out, err = console(*asked, "-o", tmp_path / "p")
    assert (code, out) == (0, ""), err
    assert err.splitlines()[-1] == f"written to {tmp_path / 'p'}"
    assert console(*asked, "-o", tmp_path / "j", "--format", "jsonl")[0] == 0

    tables = [parquet.read_table(tmp_path / "p" / f"part-0000{i}.parquet") for i in range(2)]
    lines = [(tmp_path / "j" / f"part-0000{i}.jsonl").read_text().splitlines() for i in range(2)]
    assert [table.to_pylist() for table in tables] == [[json.loads(line) for line in part] for part in lines]
    assert {str(field.name): str(field.type) for field in tables[0].schema} == {
        name: kind.replace("list<int32>", "list<element: int32>") for name, (kind, _) in COLUMNS.items()
    }
    assert tables[0].schema == tables[1].schema


def test_a_run_is_begun_again_only_by_force(console: Console, pictures: Path, tmp_path: Path) -> None:
    asked = ("batch", MODEL, pictures, "-o", tmp_path / "out", "--workers", 1, "--format", "jsonl")
    assert console(*asked)[0] == 0
    code, _, err = console(*asked, "--method", "grad-cam")
    assert code == 2
    assert err == f"ddcam: {tmp_path / 'out'} holds a run with method 'dd-cam', and this one has 'grad-cam'; " \
        "choose another -o, or overwrite it with --force\n"  # fmt: skip
    assert console(*asked, "--method", "grad-cam", "--force")[0] == 0
    assert '"method": "grad-cam"' in (tmp_path / "out" / "part-00000.jsonl").read_text()


def test_the_table_of_columns_is_the_schema() -> None:
    """Write it anew with `python -c "from ddcam.engine.bulk_rows import COLUMNS; ..."` where this fails."""
    text = (Path(__file__).parents[2] / "docs" / "bulk.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {kind} | {meaning} |" for name, (kind, meaning) in COLUMNS.items()]
    assert "\n".join(rows) in text


def test_without_pyarrow_both_ways_out_are_named(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pyarrow"] = None  # what is not installed raises the same ImportError
sys.argv = ["ddcam", "batch", {str(MODEL)!r}, {str(MODEL.parent / "pictures")!r}, "-o", {str(tmp_path / "out")!r}]
from ddcam.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'ddcam: Parquet needs pyarrow; pip install "ddcam[parquet]", or write lines of JSON with ' \
        "--format jsonl\n"  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_lines_need_nothing() -> None:
    assert form_named("jsonl").suffix == "jsonl"
