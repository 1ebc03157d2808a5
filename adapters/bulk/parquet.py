"""Parquet files with pyarrow: rows of a bulk run, and a column of names."""

from collections.abc import Sequence
from pathlib import Path

from ...engine.bulk_rows import COLUMNS
from ...engine.errors import MissingPackageError, OptionError
from ...engine.journal import Row

try:
    import pyarrow
    from pyarrow import parquet
except ImportError as error:
    raise MissingPackageError(
        'Parquet needs pyarrow; pip install "ddcam[parquet]", or write lines of JSON with --format jsonl'
    ) from error

TYPES = {
    "int64": pyarrow.int64(),
    "int32": pyarrow.int32(),
    "double": pyarrow.float64(),
    "bool": pyarrow.bool_(),
    "string": pyarrow.string(),
    "list<int32>": pyarrow.list_(pyarrow.int32()),
}
SCHEMA = pyarrow.schema([pyarrow.field(name, TYPES[kind]) for name, (kind, _) in COLUMNS.items()])
"""The same for every file, also where a column is null throughout."""


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write rows as one Parquet file. Raises OSError."""
    parquet.write_table(table_of(rows), file)


def table_of(rows: Sequence[Row]) -> "pyarrow.Table":
    """Return rows as an Arrow table of SCHEMA."""
    return pyarrow.Table.from_pylist(list(rows), SCHEMA)


def read_column(file: Path, names: Sequence[str]) -> list[str]:
    """Return the texts of the first column that is there of `names`, null as ""; OptionError where there is none."""
    try:
        opened = parquet.ParquetFile(file)
        heads = {name.lower(): name for name in opened.schema_arrow.names}
        found = next((heads[name] for name in names if name in heads), None)
        if found is not None:
            return [value or "" for value in opened.read([found]).column(0).cast(pyarrow.string()).to_pylist()]
    except (pyarrow.ArrowException, OSError) as error:
        raise OptionError(f"expected a Parquet file with names of pictures in {file}, got: {error}") from None
    raise OptionError(
        f"expected a column {' or '.join(names)} in {file.name}, got {', '.join(opened.schema_arrow.names)}"
    )
