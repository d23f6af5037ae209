"""Unprivileged identities for machines that exist before their container does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from hyper.errors import HyperError


class Identities:
    """The identities ``uids``; None: the daemon is not root, and machines run as its own user.

    ``used``: identities of running machines, asked each time; a lease ends when its machine has become a container's.
    """

    def __init__(self, uids: range | None, *, used: Callable[[], Collection[int]]) -> None:
        self._uids = uids
        self._leased: set[int] = set()
        self._used = used

    @contextmanager
    def lease(self) -> Iterator[int | None]:
        """An identity that no machine has, while the body runs.

        Raises:
            HyperError: all are in use.
        """
        if self._uids is None:
            yield None
            return
        taken = self._leased | set(self._used())
        uid = next((uid for uid in self._uids if uid not in taken), None)
        if uid is None:
            raise HyperError(f"all {len(self._uids)} machine identities are in use")
        self._leased.add(uid)
        try:
            yield uid
        finally:
            self._leased.discard(uid)
