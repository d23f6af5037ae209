"""The containers of a daemon, found by id, by name, and by pod."""

from __future__ import annotations

from collections.abc import Iterator

from hyper.engine.lifecycle.container import Container
from hyper.engine.record.container import ContainerRecord
from hyper.errors import HyperError, InvalidRequest, NotFound


class Register:
    """The containers that exist, each once. Names are unique; so are ids."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}
        #: Containers of pods by the id of the pod's first container.
        self._members: dict[str, dict[str, Container]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Container]:
        """All containers, the oldest first. The register may change meanwhile."""
        return iter(list(self._by_id.values()))

    def add(self, container: Container) -> None:
        """The container is found from now on, until it is removed."""
        record = container.record
        self._by_id[record.id] = container
        self._by_name[record.name] = container
        if record.member is not None:
            self._members.setdefault(record.member.pod, {})[record.id] = container
        container.removed.add_done_callback(lambda _: self._discard(container))

    def _discard(self, container: Container) -> None:
        record = container.record
        self._by_id.pop(record.id, None)
        if self._by_name.get(record.name) is container:
            del self._by_name[record.name]
        if record.member is not None:
            members = self._members.get(record.member.pod, {})
            members.pop(record.id, None)
            if not members:
                self._members.pop(record.member.pod, None)

    def rename(self, container: Container, name: str) -> None:
        """The container's record and this register say ``name``, which is not taken."""
        del self._by_name[container.record.name]
        container.record.name = name
        self._by_name[name] = container

    def of_id(self, id: str) -> Container | None:
        """The container of a full id."""
        return self._by_id.get(id)

    def named(self, name: str) -> Container | None:
        """The container called ``name``."""
        return self._by_name.get(name)

    def record_of(self, name: str) -> ContainerRecord | None:
        """The record of the container that ``get`` finds for ``name``; None: it finds none, or several."""
        try:
            return self.get(name).record
        except HyperError:
            return None

    def id_of(self, name: str) -> str | None:
        """The id of the container that ``get`` finds for ``name``; None: it finds none, or several."""
        record = self.record_of(name)
        return None if record is None else record.id

    def names(self) -> set[str]:
        """The names that are taken."""
        return set(self._by_name)

    def members(self, pod: str) -> list[Container]:
        """The containers of the pod whose first one has the id ``pod``, without that one.

        In the order they were asked for; those that run before the others first.
        """
        found = [
            (item.record.member.order, item)
            for item in self._members.get(pod, {}).values()
            if item.record.member is not None
        ]
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]

    def get(self, name: str) -> Container:
        """The container called ``name``: full id, name (with or without slash), ``owner/alias`` of a link, or unique
        start of an id.

        Raises:
            NotFound: no such container.
            InvalidRequest: several ids begin so.
        """
        bare = name.removeprefix("/")
        exact = self._by_id.get(name) or self._by_name.get(bare)
        if exact is not None:
            return exact
        owner, _, alias = bare.partition("/")
        linking = self._by_name.get(owner) if alias else None
        if linking is not None and alias in linking.record.links:
            return self.get(linking.record.links[alias])
        found = [item for key, item in self._by_id.items() if name and key.startswith(name)]
        if len(found) > 1:
            raise InvalidRequest(f"Multiple IDs found with provided prefix: {name}")
        if not found:
            raise NotFound(f"No such container: {name}")
        return found[0]
