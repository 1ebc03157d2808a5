"""What all tests share: settings for noisy machines, and the command line as the console script runs it."""

import signal
import sys
from collections.abc import Callable

import pytest
from hypothesis import settings

settings.register_profile("ddcam", deadline=None, derandomize=True)  # a property must not fail for being slow
settings.load_profile("ddcam")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let what tests start be interrupted: a run in the background ignores Ctrl-C, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command as the console script does; give exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        from ddcam import cli  # noqa: PLC0415  (tests of the engine alone need none)

        monkeypatch.setattr(sys, "argv", ["ddcam", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run
