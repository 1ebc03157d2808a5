"""Spark's `mapInPandas` gives the rows of a bulk run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from many import many_pictures

from ddcam import open_image
from ddcam.adapters.spark import SCHEMA, explained
from ddcam.engine.bulk_rows import COLUMNS, explained_rows
from ddcam.engine.bulk_shard import Job
from ddcam.models import demo_path

pandas = pytest.importorskip("pandas")
COUNT = 12


@pytest.fixture
def job(tmp_path: Path) -> Job:
    many_pictures(tmp_path, COUNT)
    (tmp_path / "003.png").write_bytes(b"no picture")
    return Job(demo_path("digits_cnn_additive"), tmp_path, tmp_path, open_image, preserve="confidence:0.9")


@pytest.fixture
def expected(job: Job) -> list[dict[str, Any]]:
    named = ((i, f"{i:03d}.png") for i in range(COUNT))
    return [told.row for told in explained_rows(job.explainer(), job.opener, job.root, named)]


@pytest.fixture
def spark() -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    options = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    session = sql.SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield session
    session.stop()


def test_frames_become_frames_of_rows(job: Job, expected: list[dict[str, Any]]) -> None:
    names = [f"{i:03d}.png" for i in range(COUNT)]
    parts = [pandas.DataFrame({"index": range(i, i + 4), "path": names[i : i + 4]}) for i in (0, 4, 8)]
    frames = list(explained(job)(iter(parts)))

    assert [list(frame.columns) for frame in frames] == [list(COLUMNS)] * 3
    assert [row for frame in frames for row in frame.to_dict("records")] == expected
    [alone] = explained(job)([pandas.DataFrame({"path": names[:1]})])
    assert alone.to_dict("records") == [expected[0] | {"index": None}]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning:pyspark", "ignore::ResourceWarning")
def test_spark_gives_the_same_rows(job: Job, expected: list[dict[str, Any]], spark: Any) -> None:
    named = [(i, f"{i:03d}.png") for i in range(COUNT)]
    frame = spark.createDataFrame(named, "index long, path string").repartition(4)
    rows = frame.mapInPandas(explained(job), SCHEMA).orderBy("index").collect()

    assert [row.asDict() for row in rows] == expected
