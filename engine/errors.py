"""Every error that ddcam raises on purpose: each says what was expected, what came and what to do.

DdcamError
├── ModelError (ValueError)              the .onnx file cannot be read, trusted or explained
│   ├── UnsafeModelError                 it asks for files, memory or code that a model has no business with
│   ├── SplitError                       no tensor of it can be split at
│   └── GradientError                    it has no gradient, or none that can be made for it
├── PictureError (ValueError)            the picture cannot be read or does not fit the model
├── OptionError (ValueError)             an argument or a command-line option has a value that does not exist
├── ExplanationError (ValueError)        an explanation folder is missing, incomplete or damaged
├── FittedFileError (ValueError)         a file of concepts or prototypes is missing, damaged or of another model
├── CheckError (ArithmeticError)         a transformed graph does not compute what the original computes
├── DeviceError (RuntimeError)           the device that was asked for is not there
├── DownloadError (OSError)              a file cannot be fetched, or is not the one it should be
├── RunError (RuntimeError)              ONNX Runtime failed while it ran a graph
├── MissingPackageError (ImportError)    a package that this needs is not installed
└── OutputError (OSError)                the result cannot be written
"""


class DdcamError(Exception):
    """Anything that ddcam refuses or cannot do; its text is one line."""

    def __str__(self) -> str:
        return printable(" ".join(str(argument) for argument in self.args))


def printable(text: str) -> str:
    """Keep a text on one line and free of control characters: a model's author must not steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


class ModelError(DdcamError, ValueError):
    """The model file cannot be read, trusted or explained."""


class UnsafeModelError(ModelError):
    """The model asks for files, memory or code that a model has no business with."""


class SplitError(ModelError):
    """No tensor of the model can be split at, or the one asked for cannot."""


class GradientError(ModelError):
    """The model, or a tensor of it, has no gradient, or none that can be made."""


class PictureError(DdcamError, ValueError):
    """The picture cannot be read or does not fit the model."""


class OptionError(DdcamError, ValueError):
    """An argument or a command-line option has a value that does not exist."""


class ExplanationError(DdcamError, ValueError):
    """An explanation folder is missing, incomplete or damaged."""


class FittedFileError(DdcamError, ValueError):
    """A file of concepts or prototypes is missing, damaged or of another model."""


class CheckError(DdcamError, ArithmeticError):
    """A transformed graph does not compute what the original computes."""


class DeviceError(DdcamError, RuntimeError):
    """The device that was asked for is not there."""


class DownloadError(DdcamError, OSError):
    """A file cannot be fetched, or is not the one it should be."""


class RunError(DdcamError, RuntimeError):
    """ONNX Runtime failed while it ran a graph."""


class MissingPackageError(DdcamError, ImportError):
    """A package that this needs is not installed."""


class OutputError(DdcamError, OSError):
    """The result cannot be written."""
