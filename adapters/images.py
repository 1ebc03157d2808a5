"""Picture files to pictures as people see them, with Pillow; arrays from NumPy's files."""

import errno
import glob
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..engine.errors import OptionError, PictureError
from ..engine.preprocess import as_rgb, from_array, from_pixels
from ..engine.types import Picture, Pixels
from .sources import ARRAY, ARRAYS, array_in, each_array, each_of_npz, fetch, members

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Others are refused: Pillow hands EPS to Ghostscript, and fonts, videos and icons are no pictures."""

SAMPLES = 277
"""The TIFF tag that counts the bands."""
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

PIXEL_LIMIT = 89_478_485
"""Pillow's own threshold for a decompression bomb."""

BYTE_LIMIT = 1 << 30


def open_image(path: str | Path) -> Picture:
    """Open a picture file: upright by its EXIF orientation, RGB, 8 bit; the file is read once.

    Palette, 1 bit, grey, CMYK and the rest become RGB as Pillow converts them, a colour profile is ignored,
    transparency is laid over white, of an animation the first frame counts. 16 bit grey is divided by 257.
    32 bit integers and floats go from their minimum to their maximum (over the finite values; what is not
    finite, and a constant picture, is black).

    An .npy file, an .npz file of one array and a TIFF of more than 4 bands (with tifffile) give the array as it is, for
    models that take arrays; of a TIFF of 4 bands both are kept.

    Raises PictureError for what is missing, empty, truncated, not a picture, above 1 GiB or above
    89 478 485 pixels; that is seen in the header, before the pixels are decoded.
    """
    path = Path(path)
    return decode(path, _read(path))


def decode(path: Path, data: bytes) -> Picture:
    """Do as `open_image` with the content of a file; `path` is what it is called."""
    digest = hashlib.sha256(data).hexdigest()
    if data.startswith(ARRAYS):
        return from_array(array_in(path, data), path.name, digest)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, and of bombs, which are refused below.
        warnings.simplefilter("ignore")
        if (bands := _bands(path, data)) is not None:
            return from_array(bands, path.name, digest)
        image = _opened(path, data)
        pixels = as_rgb(_channels(path, image), path.name)
        values = np.array(image) if image.format == "TIFF" and len(image.getbands()) == 4 else None
    return Picture(pixels, path.name, digest, values)


def decode_strange(name: str, data: bytes, pixels: int) -> Picture:
    """Decode what a stranger sent as `decode` does, up to so many pixels, and nothing whose size is seen too late.

    That leaves out archives (.npz) and TIFF files that Pillow cannot read. Raises PictureError.
    """
    path = Path(name)
    if data.startswith(ARRAY):
        return decode(path, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb = as_rgb(_channels(path, _opened(path, data, pixels)), name)
    return Picture(rgb, name, hashlib.sha256(data).hexdigest())


def _bands(path: Path, data: bytes) -> NDArray[Any] | None:
    """Read a TIFF of more than 4 bands, which Pillow does not; None for what it can."""
    if not data.startswith(TIFF):
        return None
    with suppress(Exception), Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
        if image.getexif().get(SAMPLES, 1) <= 4:  # of more it takes the first three
            return None
    try:
        import tifffile  # noqa: PLC0415  (of the extra `tiff`, and only for files that Pillow cannot read)
    except ImportError:
        raise PictureError(
            f"expected a TIFF of at most 4 bands in {str(path)!r}, got one that Pillow cannot read; pip install "
            "'ddcam[tiff]', or save it as .npy"
        ) from None
    try:
        return np.asarray(tifffile.imread(io.BytesIO(data)))
    except Exception:  # its reader raises whatever the bytes make it stumble over
        return None


def open_images(
    source: object, *, urls: bool = False, broken: Callable[[PictureError], object] | None = None
) -> Iterator[Picture]:
    """Open pictures one after the other, whatever they come in, each when it is asked for.

    `source` is a file, a folder, a glob pattern, a zip archive, an NPZ file (uint8 `images`, as `ddcam evaluate`
    reads it), an array (uint8 `[H, W]`, `[H, W, 1|3|4]` or many of them), the bytes of a file, an image of Pillow, a
    `Picture`, or any iterable of such. A URL (http, https; up to 64 MiB and 60 s) is fetched only with `urls`. Folders
    and archives give the files with a picture's suffix, sorted by name; nothing is unpacked to disk.

    A picture that cannot be opened raises PictureError in one line, which ends the iteration; with `broken` it is told
    that error instead, and the next follows (`broken=print`). Raises OptionError for a source of another kind.
    """
    for opening in _openings(source, urls):
        try:
            picture = opening()
        except PictureError as error:
            if broken is None:
                raise
            broken(error)
        else:
            yield picture


def _openings(source: object, urls: bool) -> Iterator[Callable[[], Picture]]:
    match source:
        case Picture():
            yield lambda: source
        case Image.Image():
            yield partial(_from_pillow, source)
        case np.ndarray():
            yield from each_array(source)
        case bytes():
            yield partial(decode, Path("bytes"), source)
        case str() | os.PathLike():
            yield from _named(str(source), urls)
        case Iterable():
            for each in source:
                yield from _openings(each, urls)
        case _:
            raise OptionError(
                "expected pictures as a file, folder, pattern, zip, NPZ, array, bytes, Pillow image or several of "
                f"them, got a {type(source).__name__}"
            )


def _named(source: str, urls: bool) -> Iterator[Callable[[], Picture]]:
    path = Path(source)
    if source.lower().startswith(("http://", "https://")):
        if not urls:
            raise PictureError(f"expected a file, got the URL {source!r}; URLs are fetched only with urls=True")
        yield partial(_from_web, source)
    elif path.suffix.lower() == ".zip" and path.is_file():
        for name, content in members(path, sorted(suffixes())):
            yield partial(_from_archive, name, content)
    elif path.suffix.lower() == ".npz" and path.is_file():
        yield from each_of_npz(path, open_image)
    else:
        for file in find_images([source]):
            yield partial(open_image, file)


def _from_pillow(image: Image.Image) -> Picture:
    name = Path(getattr(image, "filename", "") or "image").name
    return from_pixels(_channels(Path(name), image.copy()), name)


def _from_archive(name: str, content: Callable[[], bytes]) -> Picture:
    return replace(decode(Path(name), content()), name=name)


def _from_web(url: str) -> Picture:
    return decode(Path(url.partition("?")[0].rstrip("/")), fetch(url))


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Find the files that names on a command line mean, each file once, in the order of the names.

    A file counts as given, a folder means the pictures directly inside it (by their suffix, sorted, hidden
    ones left out), a glob pattern every file that it matches, sorted. Raises PictureError where nothing is
    found.
    """
    if not paths:
        raise PictureError("expected a picture file, a folder or a pattern, got none; name at least one")
    return list(dict.fromkeys(file for path in paths for file in _meant(path)))


def _meant(name: str | Path) -> list[Path]:
    if os.path.isfile(name):
        return [Path(name)]
    if os.path.isdir(name):
        found = [path for path in _listed(Path(name)) if path.suffix.lower() in suffixes()]
        kind = f"a folder with pictures directly inside it ({', '.join(FORMATS)})"
    else:
        found = [Path(match) for match in glob.glob(str(name), recursive=True)]
        kind = "a picture file, a folder or a pattern that matches files"
    files = sorted(path for path in found if os.path.isfile(path))
    if not files:
        raise PictureError(f"expected {kind}, found nothing at {str(name)!r}; check the name")
    return files


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise _unreadable(folder, error) from None


def suffixes() -> set[str]:
    """Return how names of picture files end."""
    return {".npy", *(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)}


def _read(path: Path) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "neither a file nor a folder"
        raise PictureError(f"expected a picture file, but {str(path)!r} is {kind}; name a file")
    try:
        with path.open("rb") as file:
            data = file.read(min(os.fstat(file.fileno()).st_size, BYTE_LIMIT) + 1)  # which is allocated beforehand
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not 0 < len(data) <= BYTE_LIMIT:
        size = "more" if data else "an empty file"
        raise PictureError(f"expected 1 to {BYTE_LIMIT} bytes in {str(path)!r}, got {size}; check the file")
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> PictureError:
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return PictureError(f"expected a picture file, found nothing at {str(path)!r}; check the path")
    reason = error.strerror if isinstance(error, OSError) else error
    return PictureError(f"expected to read {str(path)!r}, got: {reason}; check the file and its permissions")


def _opened(path: Path, data: bytes, most: int = PIXEL_LIMIT) -> Image.Image:
    """The header alone: Pillow decodes later."""
    try:
        Image.init()
        image = Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError:
        raise _too_large(path, "far more", most) from None
    except Exception:  # Pillow's readers raise whatever the bytes make them stumble over
        raise PictureError(
            f"expected a picture ({', '.join(FORMATS)}) in {str(path)!r}, got something else or a damaged "
            "file; convert it or save it again"
        ) from None
    if image.width * image.height > most:
        raise _too_large(path, f"{image.width}x{image.height}", most)
    return image


def _too_large(path: Path, size: str, most: int = PIXEL_LIMIT) -> PictureError:
    return PictureError(f"expected up to {most} pixels in {str(path)!r}, got {size}; shrink the picture")


def _channels(path: Path, image: Image.Image) -> Pixels:
    """Decode, turn upright and reduce to 8 bit grey, RGB or RGBA."""
    try:
        image.load()
        _turn_upright(image)
        if image.mode.startswith(("I", "F")):
            return _eight_bit(np.asarray(image), image.format)
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except Image.DecompressionBombError:
        raise _too_large(path, "far more") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, EOFError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"expected a whole {image.format} picture in {str(path)!r}, could not decode it ({reason}); "
            "fetch or save it again"
        ) from None


def _turn_upright(image: Image.Image) -> None:
    with suppress(Exception):  # damaged EXIF says nothing of the pixels
        ImageOps.exif_transpose(image, in_place=True)


def _eight_bit(values: NDArray[Any], kind: str | None) -> Pixels:
    """Bring one deep channel to 0..255."""
    # Pillow may hold the 16 bits of PNG and PGM in 32.
    if values.dtype.itemsize == 2 or (values.dtype.kind == "i" and kind in ("PNG", "PPM")):
        return np.round(values / 257.0).clip(0, 255).astype(np.uint8)
    real = values.astype(np.float64)
    finite = np.isfinite(real)
    if not finite.any():
        return np.zeros(real.shape, np.uint8)
    low, high = real[finite].min(), real[finite].max()
    shares: NDArray[np.float64] = (np.where(finite, real, low) - low) / ((high - low) or 1.0)
    return np.round(shares * 255).astype(np.uint8)
