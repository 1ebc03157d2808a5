"""A lock between processes that the system releases when its holder ends, however that happens."""

import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    def claim(file: IO[Any]) -> bool:
        """Take the lock on an open file, until it is closed; False where another holds it."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def claim(file: IO[Any]) -> bool:
        """Take the lock on an open file, until it is closed; False where another holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
