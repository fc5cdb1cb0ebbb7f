"""Every error of resnet-edge, and the one place where errors of other packages become one of them.

    ResnetEdgeError             a step failed; exit code 1
    ├── UsageError              an option, a path or a configuration is wrong; exit code 2
    ├── StoppedError            Ctrl-C ended the program; exit code 130
    ├── DataError               pictures, folders or archives cannot be used
    │   └── PictureError        one picture cannot be decoded
    ├── ModelError              a model or a weight file cannot be used, or not be converted
    ├── ArtifactError           an exported file or its sidecar is missing or damaged
    ├── ReferenceFileError      the full-precision answers are missing or damaged
    ├── RuntimeMissingError     an inference runtime is not installed
    ├── InferenceError          a runtime refused a file or answered nonsense
    ├── WorkerError             a worker process ended without naming an error
    ├── RemoteError             a device on the network did not answer, or its run failed
    │   ├── ConnectionLostError ssh has no connection, or lost it
    │   └── PageRefusedError    a browser's page asked for what it may not have
    ├── OutputError             results cannot be written
    ├── OutOfMemoryError        memory ran out
    └── InternalError           a defect of resnet-edge

``translate`` turns every other error into one of these:

    converters.errors.ConversionError   ModelError
    ├── RequestError                    UsageError
    ├── ModelConversionError            ModelError
    └── IntermediateFileError           ArtifactError
    OSError, a full disk for instance   OutputError
    MemoryError                         OutOfMemoryError
    KeyboardInterrupt                   StoppedError, also where an ImportError hides it
    anything else                       InternalError

A message says what was got, what was expected, and what to do. Devices have this module too, so it
imports the standard library only.
"""

from __future__ import annotations

FREE_SPACE = "free some space or choose another folder with --out"
"""The advice where a file cannot be written."""


class ResnetEdgeError(Exception):
    """A step failed. The message is for a person, ``exit_code`` for a script."""

    exit_code = 1


class UsageError(ResnetEdgeError):
    """An option, a path given by the user, or a configuration is wrong."""

    exit_code = 2


class StoppedError(ResnetEdgeError):
    """The user ended the program with Ctrl-C."""

    exit_code = 130


class DataError(ResnetEdgeError):
    """Pictures, folders or archives cannot be used as they are."""


class PictureError(DataError):
    """One picture cannot be decoded.

    Attributes:
        reason: The message without its end, the advice for a whole data set.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}{advice}")
        self.reason = reason


class ModelError(ResnetEdgeError):
    """A model or a weight file cannot be used, or a model cannot be converted."""


class ArtifactError(ResnetEdgeError):
    """An exported file, or the sidecar beside it, is missing, damaged or does not match."""


class ReferenceFileError(ResnetEdgeError):
    """The file of full-precision answers is missing, damaged or of another model."""


class RuntimeMissingError(ResnetEdgeError):
    """An inference runtime, or a package that everything needs, is not installed here.

    Attributes:
        install: Arguments of ``pip install`` that would help; empty where the message has none.
    """

    def __init__(self, message: str, install: str = "") -> None:
        super().__init__(message)
        self.install = install


class InferenceError(ResnetEdgeError):
    """A runtime refused a file or gave an answer of the wrong shape."""


class WorkerError(ResnetEdgeError):
    """A worker process was killed, crashed, took too long or answered nonsense."""


class RemoteError(ResnetEdgeError):
    """A device on the network cannot be reached, or what ran on it ended without a result."""


class ConnectionLostError(RemoteError):
    """The program ``ssh`` ended without an answer; the message is its last line."""


class PageRefusedError(RemoteError):
    """A request of a browser's page is refused.

    Attributes:
        status: HTTP's status code.
        gone: True if the page measured before, and another one has taken over.
    """

    def __init__(self, message: str, status: int, gone: bool = False) -> None:
        super().__init__(message)
        self.status, self.gone = status, gone


class OutputError(ResnetEdgeError):
    """Results cannot be written."""


class OutOfMemoryError(ResnetEdgeError):
    """Memory ran out."""


class InternalError(ResnetEdgeError):
    """A defect of resnet-edge: an error that nobody expected."""


RUNTIME_ERRORS = (
    InferenceError,
    WorkerError,
    RuntimeMissingError,
    OutOfMemoryError,
    InternalError,
)
"""The errors that belong to the runtime that was asked: another one may run the same file."""

_OF_CONVERTERS = {
    "RequestError": UsageError,
    "ModelConversionError": ModelError,
    "IntermediateFileError": ArtifactError,
    "ConversionError": ModelError,
}


def translate(problem: BaseException) -> ResnetEdgeError:
    """Return an error of this tree for any error.

    Args:
        problem: Any error; one of this tree is returned as it is, unless Ctrl-C caused it.
    """
    if _was_interrupted(problem):
        return StoppedError("interrupted; run the same command again to go on")
    if isinstance(problem, ResnetEdgeError):
        return problem
    for kind in type(problem).__mro__:  # by name: a device has no converters to import
        if kind.__module__ == "converters.errors":
            return _OF_CONVERTERS[kind.__name__](str(problem))
    if isinstance(problem, OSError):
        place = f"{problem.filename}: " if problem.filename else ""
        refused = problem.strerror or problem
        return OutputError(f"{place}{refused}; {FREE_SPACE}")
    if isinstance(problem, MemoryError):
        return OutOfMemoryError(
            "memory ran out; end other programs, or train a smaller network: `resnet-edge "
            "finetune` takes a smaller --image-size and --batch-size"
        )
    return InternalError(
        f"internal error: {type(problem).__name__}: {problem}; "
        "run again with --debug and report the traceback"
    )


def _was_interrupted(problem: BaseException | None) -> bool:
    """Return True if Ctrl-C caused an error: native modules turn it into an ImportError."""
    while problem is not None:
        if isinstance(problem, KeyboardInterrupt):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def first_line(problem: BaseException) -> str:
    """Return the first line of an error's message, or else its class.

    A line of over 300 characters loses its middle: the end often has the reason.
    """
    lines = str(problem).strip().splitlines()
    if not lines:
        return type(problem).__name__
    line = lines[0]
    return line if len(line) <= 300 else f"{line[:140]} … {line[-140:]}"


def error_class(name: str) -> type[ResnetEdgeError]:
    """Return the class of this tree with a name; the root where there is none."""
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, ResnetEdgeError):
        return found
    return ResnetEdgeError
