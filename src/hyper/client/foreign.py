"""The kinds of failures of a daemon that does not say them: dockerd's, taken from its words as docker itself does."""

from __future__ import annotations

#: Words of dockerd and runc in lower case, and the kind (hyper/errors.py) of a failure whose message has them.
_KINDS = (
    ("no such image", "image-not-found"),
    ("executable file not found", "program-not-found"),
    ("no such file or directory", "program-not-found"),
    ("permission denied", "program-not-executable"),
    ("is a directory", "program-not-executable"),
)


def kind_of(message: str) -> str:
    """The kind of the failure that ``message`` tells of; "" where no program acts on it.

    Source: docker/cli, cli/command/container/run.go, toStatusError.
    """
    text = message.lower()
    return next((kind for words, kind in _KINDS if words in text), "")
