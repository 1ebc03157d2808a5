"""What is installed is what was meant: the wheel's files, the editable install, the imports."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ("engine", "adapters", "models")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build a wheel from a copy of the sources and list its files."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return archive.namelist()


def test_the_wheel_holds_only_the_package(wheel: list[str]) -> None:
    roots = {name.split("/")[0] for name in wheel}

    assert {root for root in roots if not root.endswith(".dist-info")} == {"ddcam"}
    assert not [name for name in wheel if "test" in name or name.endswith("conftest.py")]


def test_the_wheel_holds_every_source_and_all_data(wheel: list[str]) -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = [p for p in files if p.suffix in {".py", ".txt", ".npy", ".onnx", ".json", ".toml", ".png", ".typed"}]
    missing = {f"ddcam/{path.relative_to(ROOT).as_posix()}" for path in wanted} - set(wheel)

    assert not {name for name in missing if "__pycache__" not in name}
    assert {"ddcam/__init__.py", "ddcam/cli.py"} <= set(wheel)


def test_every_package_is_listed() -> None:
    folders = [path.parent for f in FOLDERS for path in (ROOT / f).rglob("__init__.py")]
    found = {"ddcam", *(f"ddcam.{'.'.join(f.relative_to(ROOT).parts)}" for f in folders)}

    assert found == set(SETTINGS["tool"]["setuptools"]["packages"])


def test_only_the_package_and_the_command_line_are_at_the_top() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def run_elsewhere(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_install_exposes_only_ddcam(tmp_path: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('engine', 'cli', 'adapters', 'models') if u.find_spec(n)])"

    assert run_elsewhere(code, tmp_path).strip() == "[]"


def test_importing_ddcam_pulls_in_no_framework_and_nothing_slow(tmp_path: Path) -> None:
    # scikit-learn, scipy.stats and scipy.signal cost every command a second and serve single methods.
    unwanted = {"torch", "tensorflow", "cv2", "sklearn", "scipy.stats", "scipy.signal", "engine", "cli"}
    code = f"import sys, ddcam, ddcam.cli\nprint(sorted({unwanted!r} & set(sys.modules)))"

    assert run_elsewhere(code, tmp_path).strip() == "[]"


def test_the_core_names_no_framework_and_no_runtime() -> None:
    names = " ".join(SETTINGS["project"]["dependencies"])

    assert not [n for n in ("torch", "tensorflow", "opencv", "onnxruntime") if n in names]
