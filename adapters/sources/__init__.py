"""Where pictures lie other than in files of their own: archives, arrays, the web."""

from .archive import members
from .arrays import each_array, each_of_npz
from .web import fetch

__all__ = ["each_array", "each_of_npz", "fetch", "members"]
