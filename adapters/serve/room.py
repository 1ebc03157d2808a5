"""How much is under way: every picture that was let in has a place, from before it is read until it is answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from starlette.exceptions import HTTPException


class Room:
    """A number of places; what finds none is sent away at once, so memory is bounded by what is inside."""

    def __init__(self, places: int) -> None:
        """Take the number of places."""
        self.places, self.taken = places, 0
        self._lock = Lock()

    @contextmanager
    def entered(self) -> Iterator[Callable[[int], None]]:
        """Take a place for a request, and give what takes as many as it turns out to need; all are free afterwards.

        Raises HTTPException: 503 while there are too few, 400 where there never are enough.
        """
        visit = Visit(self)
        visit.need(1)
        try:
            yield visit.need
        finally:
            visit.leave()

    def move(self, places: int) -> bool:
        """Take places, or give some back; tell whether there were enough."""
        with self._lock:
            if self.taken + places > self.places:
                return False
            self.taken += places
            return True


class Visit:
    """The places of one request; one that has left takes no more, whatever a thread still does for it."""

    def __init__(self, room: Room) -> None:
        """Enter with no place yet."""
        self._room, self._held, self._left, self._lock = room, 0, False, Lock()

    def need(self, places: int) -> None:
        """Hold so many places in all."""
        if places > self._room.places:
            raise HTTPException(400, f"expected at most {self._room.places} pictures in a request, got {places}")
        with self._lock:
            if self._left or not self._room.move(places - self._held):
                raise HTTPException(503, "too many pictures are under way; try again", {"Retry-After": "1"})
            self._held = places

    def leave(self) -> None:
        """Give all places back."""
        with self._lock:
            self._left = True
            self._room.move(-self._held)
