"""Where pictures lie other than in files of their own: archives, arrays, the web."""

from .archive import members
from .arrays import ARRAY, ARRAYS, array_in, each_array, each_of_npz
from .web import fetch

__all__ = ["ARRAY", "ARRAYS", "array_in", "each_array", "each_of_npz", "fetch", "members"]
