"""Which ONNX Runtime is installed, and which device a session gets; never a silent fallback to the CPU."""

import ctypes
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from io import StringIO
from typing import Any, Literal

from ..errors import DeviceError, MissingPackageError, OptionError
from ..types import Device

CUDA = "CUDAExecutionProvider"
INSTALL = 'pip install "ddcam[cpu]" (or "ddcam[cuda]" on a machine with an NVIDIA GPU)'


def runtime() -> Any:
    """Import ONNX Runtime or say what is missing; its native libraries must not print over our messages."""
    try:
        import onnxruntime  # noqa: PLC0415  (the message needs to be ours when it is missing)
    except ImportError as error:
        raise MissingPackageError(f"ddcam runs models with ONNX Runtime, which is not installed; {INSTALL}") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise MissingPackageError(f"the installed onnxruntime is broken (half removed?); uninstall it, then {INSTALL}")
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def both_wheels() -> str | None:
    """Say so when both wheels are installed: they overwrite each other's files, and the last one wins."""
    if not (installed("onnxruntime") and installed("onnxruntime-gpu")):
        return None
    return (
        f"both onnxruntime and onnxruntime-gpu are installed and overwrite each other; uninstall both, then {INSTALL}"
    )


def installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def choose_device(asked: str = "auto") -> tuple[Device, str]:
    """Choose the device and say why. "cuda" raises DeviceError with the missing piece instead of falling back."""
    if asked not in ("auto", "cpu", "cuda"):
        raise OptionError(f"expected a device auto, cpu or cuda, got {asked!r}")
    if asked == "cpu":
        return "cpu", "asked for"
    missing = missing_for_cuda()
    if missing is None:
        return "cuda", "asked for" if asked == "cuda" else "a CUDA device was found"
    if asked == "cuda":
        raise DeviceError(f"cuda was asked for but {missing}")
    return "cpu", missing


def missing_for_cuda() -> str | None:
    """Name the first piece that CUDA lacks here, or None."""
    ort = runtime()
    if CUDA not in ort.get_available_providers():
        return (
            both_wheels()
            or 'the installed ONNX Runtime has no CUDA support; pip install "ddcam[cuda]" instead of ddcam[cpu]'
        )
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = ctypes.CDLL(driver)
    except OSError:
        return f"there is no NVIDIA driver ({driver} cannot be loaded)"
    count = ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no CUDA device"
    return None


def providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    """List the execution providers of a device; TF32 is off, since it decides close probes differently."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it prints what it does not find
        runtime().preload_dlls()
    return [(CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]


def require(device: Device, session: Any) -> None:
    """Raise when a session did not get the device: ONNX Runtime falls back to the CPU without an error."""
    got: list[Literal["CUDAExecutionProvider"] | str] = session.get_providers()
    if device == "cuda" and got[:1] != [CUDA]:
        raise DeviceError(
            "cuda was asked for but ONNX Runtime could not load it (the CUDA or cuDNN libraries are missing or of "
            'another version); pip install "ddcam[cuda]"'
        )
