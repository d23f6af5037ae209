"""The one exception tree of Hyper.

    HyperError                 500  a failure that no class below names better
    ├── InvalidRequest         400  the caller asked for something that makes no sense
    ├── Unauthorized           401  credentials missing or refused (by a registry)
    ├── Forbidden              403  understood and refused
    ├── NotFound               404  no such container, exec… (ImageNotFound: an image)
    ├── Conflict               409  the object is in a state that forbids it
    ├── NotImplementedYet      501  the API has the word, Hyper does not yet
    ├── Unavailable            503  a peer (registry, hypervisor) does not answer
    ├── MachineError           500  a virtual machine did not start or died (with its console's tail)
    ├── GuestError             500  the agent refused or failed a request (code, errno, text)
    └── ProtocolError          500  bytes that break a protocol

Every error carries one line for its reader, and optionally a hint on a second line.
"""

from __future__ import annotations


class HyperError(Exception):
    """An expected failure: ``message`` says what failed, on which object, why, in one line.

    ``hint`` (optional) says what to do about it. ``http_status`` is what the API answers,
    ``exit_code`` what the command line ends with (125: the daemon failed, as Docker does). ``kind``: the failure for
    programs that act on it, as the API's member of that name; "": none does.
    """

    http_status = 500
    exit_code = 125
    kind = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class InvalidRequest(HyperError):
    """The request is malformed or asks for something impossible."""

    http_status = 400


class Unauthorized(HyperError):
    """A registry refused the credentials, or wants some."""

    http_status = 401


class Forbidden(HyperError):
    """The request was understood and is refused."""

    http_status = 403


class NotFound(HyperError):
    """The named object does not exist."""

    http_status = 404


class ImageNotFound(NotFound):
    """The named image is not on this host, or not for the platform: a pull may bring it."""

    kind = "image-not-found"


class Conflict(HyperError):
    """The object's state, or another object, forbids the request."""

    http_status = 409


class NotImplementedYet(HyperError):
    """A request of the API that Hyper does not have yet."""

    http_status = 501


class Unavailable(HyperError):
    """A peer did not answer in time or said that it cannot serve."""

    http_status = 503


class MachineError(HyperError):
    """A virtual machine did not start, or died.

    ``console`` is the tail of its serial console ("" if it never wrote).
    """

    def __init__(self, message: str, *, hint: str | None = None, console: str = "") -> None:
        super().__init__(message, hint=hint)
        self.console = console

    def __str__(self) -> str:
        text = super().__str__()
        return (
            f"{text}\n--- end of the machine's console ---\n{self.console}"
            if self.console
            else text
        )


class Unreachable(MachineError):
    """A virtual machine runs and its sockets are gone: no daemon will ever reach it."""


class OutdatedAgent(MachineError):
    """An agent speaks a lower version of its protocol than this daemon; its machine goes on, not spoken to."""


class GuestError(HyperError):
    """The agent in the guest answered a request with an error.

    ``code`` is a ``proto.message.ReplyCode`` value, ``errno`` Linux's number or 0.
    """

    def __init__(self, message: str, *, code: int, errno: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.errno = errno


class ProtocolError(HyperError):
    """A peer sent bytes that its protocol does not allow."""


#: OpenSSL's codes of certificates that nobody trusted has signed.
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
_EXPIRED = frozenset({9, 10})


def reason(error: BaseException) -> str:
    """The reason of a failure in the system's words (Go's for TLS), without Python's: numbers, classes, objects."""
    code = getattr(error, "verify_code", None)
    if isinstance(code, int):
        if code in _UNKNOWN_AUTHORITY:
            return "x509: certificate signed by unknown authority"
        if code in _EXPIRED:
            return "x509: certificate has expired or is not yet valid"
        return f"x509: {str(getattr(error, 'verify_message', '')).rstrip('.')}"
    if isinstance(error, TimeoutError) and not error.strerror:
        return "no answer in time"
    if isinstance(error, OSError):
        library = getattr(error, "library", None)
        if library is not None or "_ssl.c" in str(error):
            words = getattr(error, "reason", None) or "handshake failed"
            return f"tls: {str(words).replace('_', ' ').lower()}"
        where = f": {error.filename}" if error.filename is not None else ""
        return (error.strerror or str(error) or type(error).__name__).lower() + where
    return str(error) or type(error).__name__
