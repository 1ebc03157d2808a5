"""Which device a session gets is said with its reason, and what is missing is named instead of falling back."""

import re
import sys
from importlib import metadata
from types import ModuleType, SimpleNamespace

import pytest

from ddcam.engine.errors import DeviceError, MissingPackageError, OptionError
from ddcam.engine.runtime import device as device_module
from ddcam.engine.runtime.device import CUDA, both_wheels, choose_device, missing_for_cuda, providers, require, runtime

CPU = "CPUExecutionProvider"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend that these wheels, providers and devices are there; return what ONNX Runtime was asked to do."""

    def pretend(
        *, wheels: tuple[str, ...] = ("onnxruntime",), found: tuple[str, ...] = (CPU,), devices: int | None = None
    ) -> list[str]:
        asked: list[str] = []

        def distribution(name: str) -> str:
            if name not in wheels:
                raise metadata.PackageNotFoundError(name)
            return name

        def driver(name: str) -> SimpleNamespace:
            asked.append(name)
            if devices is None:
                raise OSError(name)
            return SimpleNamespace(cuInit=lambda _: 0, cuDeviceGetCount=count)

        def count(reference: SimpleNamespace) -> int:
            reference._obj.value = devices
            return 0

        package = ModuleType("onnxruntime")
        package.InferenceSession = object
        package.set_default_logger_severity = lambda level: asked.append(f"severity {level}")
        package.get_available_providers = lambda: list(found)
        package.preload_dlls = lambda: asked.append("preload_dlls")
        monkeypatch.setattr(device_module.metadata, "distribution", distribution)
        monkeypatch.setitem(sys.modules, "onnxruntime", package if wheels else None)
        monkeypatch.setattr(device_module.ctypes, "CDLL", driver)
        return asked

    return pretend


def test_one_wheel_is_imported_and_silenced(machine):
    asked = machine()

    assert runtime() is sys.modules["onnxruntime"]
    assert asked == ["severity 4"]


def test_neither_wheel(machine):
    machine(wheels=())

    for ask in (runtime, missing_for_cuda, choose_device):
        with pytest.raises(
            MissingPackageError, match=r"ONNX Runtime, which is not installed; pip install \"ddcam\[cpu\]\""
        ):
            ask()


def test_both_wheels(machine):
    """They often work together, so they are reported, and refused only where CUDA was lost by it."""
    machine(wheels=("onnxruntime", "onnxruntime-gpu"))
    said = r"overwrite each other; uninstall both, then pip install \"ddcam\[cpu\]\""

    assert re.search(said, both_wheels() or "")
    assert runtime() is sys.modules["onnxruntime"]
    assert re.search(said, choose_device("auto")[1])
    with pytest.raises(DeviceError, match=said):
        choose_device("cuda")


def test_one_wheel_is_nothing_to_report(machine):
    machine()

    assert both_wheels() is None


def test_half_removed_wheel(machine):
    machine()
    del sys.modules["onnxruntime"].InferenceSession

    with pytest.raises(MissingPackageError, match=r"broken \(half removed\?\); uninstall it, then pip install"):
        runtime()


def test_cpu_asked_for_needs_no_look_at_the_machine(machine):
    assert machine(wheels=()) == []
    assert choose_device("cpu") == ("cpu", "asked for")


MISSING = {
    "wheel": ({}, 'the installed ONNX Runtime has no CUDA support; pip install "ddcam[cuda]"'),
    "driver": ({"found": (CUDA, CPU)}, "there is no NVIDIA driver (libcuda.so.1 cannot be loaded)"),
    "device": ({"found": (CUDA, CPU), "devices": 0}, "the NVIDIA driver finds no CUDA device"),
}


@pytest.mark.parametrize("piece", MISSING)
def test_missing_piece_is_named(machine, monkeypatch, piece):
    there, text = MISSING[piece]
    monkeypatch.setattr(device_module.sys, "platform", "linux")
    machine(**there)

    device, reason = choose_device("auto")

    assert device == "cpu"
    assert reason.startswith(text)
    with pytest.raises(DeviceError) as error:
        choose_device("cuda")
    assert str(error.value).startswith(f"cuda was asked for but {text}")


def test_driver_of_windows_has_another_name(machine, monkeypatch):
    monkeypatch.setattr(device_module.sys, "platform", "win32")
    asked = machine(found=(CUDA, CPU))

    assert choose_device()[1] == "there is no NVIDIA driver (nvcuda.dll cannot be loaded)"
    assert asked[-1] == "nvcuda.dll"


def test_driver_that_does_not_start_counts_as_no_device(machine, monkeypatch):
    machine(found=(CUDA, CPU))
    monkeypatch.setattr(device_module.ctypes, "CDLL", lambda _: SimpleNamespace(cuInit=lambda _: 100))

    assert choose_device() == ("cpu", "the NVIDIA driver finds no CUDA device")


def test_device_that_is_there_is_taken(machine):
    machine(wheels=("onnxruntime-gpu",), found=(CUDA, CPU), devices=1)

    assert choose_device("auto") == ("cuda", "a CUDA device was found")
    assert choose_device("cuda") == ("cuda", "asked for")
    assert choose_device("cpu") == ("cpu", "asked for")


@pytest.mark.parametrize("asked", ["gpu", "CUDA", "", "cuda:0"])
def test_unknown_device_is_refused(machine, asked):
    machine()

    with pytest.raises(OptionError, match=f"expected a device auto, cpu or cuda, got {asked!r}"):
        choose_device(asked)


def test_cuda_runs_without_tf32(machine):
    """TF32 keeps 10 bits of the mantissa, which decides close probes differently."""
    asked = machine()

    assert providers("cpu") == [CPU]
    assert "preload_dlls" not in asked
    [(name, options), fallback] = providers("cuda")
    assert (name, fallback, options["use_tf32"]) == (CUDA, CPU, "0")
    assert asked[-1] == "preload_dlls"


def test_silent_fallback_of_a_session_is_an_error():
    fallen = SimpleNamespace(get_providers=lambda: [CPU])
    right = SimpleNamespace(get_providers=lambda: [CUDA, CPU])

    require("cpu", fallen)
    require("cuda", right)
    with pytest.raises(DeviceError, match=r"cuda was asked for but ONNX Runtime could not load it .*ddcam\[cuda\]"):
        require("cuda", fallen)
