"""What a piece of work takes: seconds, and how much memory it needs at its largest."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Effort:
    """Wall seconds, and bytes by which the process at its largest exceeded what it was before; None if not known."""

    seconds: float
    memory: int | None


def effort_of(work: Callable[[], T]) -> tuple[T, Effort]:
    """Do some work and tell what it took.

    Memory is that of the host. Linux forgets its high-water mark when asked; elsewhere it is not known, since
    other systems only tell the largest size of all time.
    """
    before = resident() if forget_peak() else None
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    return result, Effort(seconds, None if before is None else max(0, status("VmHWM") - before))


def forget_peak() -> bool:
    if sys.platform != "linux":
        return False
    try:
        CLEAR.write_text("5")
    except OSError:  # a sandbox may forbid it
        return False
    return True


def resident() -> int:
    return status("VmRSS")


def status(name: str) -> int:
    """Read an amount of memory in bytes from what Linux tells of this process."""
    rows = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(rows[name].split()[0]) * 1024
