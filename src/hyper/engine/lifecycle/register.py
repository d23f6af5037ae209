"""The containers and pods of a daemon, found by id, by name, and containers by their pods."""

from __future__ import annotations

from collections.abc import Iterator

from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.record.container import ContainerRecord
from hyper.errors import Conflict, HyperError, InvalidRequest, NotFound


class Register:
    """The containers and pods that exist, each once. Names are unique among both; so are ids."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}
        self._pods: dict[str, Pod] = {}
        #: Containers of pods by the pod's id.
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

    def add_pod(self, pod: Pod) -> None:
        """The pod is found from now on, until it is removed."""
        self._pods[pod.record.id] = pod

    def remove_pod(self, pod: Pod) -> None:
        """The pod, which is gone, is found no more."""
        self._pods.pop(pod.record.id, None)

    def pods(self) -> list[Pod]:
        """All pods, the newest first."""
        return sorted(self._pods.values(), key=lambda pod: -pod.record.created_ns)

    def pod_of_id(self, id: str) -> Pod:
        """The pod of a full id. Raises: NotFound: there is none."""
        if id not in self._pods:
            raise NotFound(f"No such pod: {id}")
        return self._pods[id]

    def pod(self, name: str) -> Pod:
        """The pod called ``name``: its name, id, or unique start of an id.

        Raises:
            NotFound: there is no such pod.
        """
        for pod in self._pods.values():
            if name in (pod.record.id, pod.record.name):
                return pod
        found = [pod for id, pod in self._pods.items() if name and id.startswith(name)]
        if len(found) != 1:
            raise NotFound(f"No such pod: {name[:300]}")
        return found[0]

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

    def lead(self, name: str) -> Container | Pod:
        """The container that ``get`` finds for ``name``, or the pod.

        Raises:
            NotFound: there is neither. InvalidRequest: several ids begin so.
        """
        try:
            return self.pod(name.removeprefix("/"))
        except NotFound:
            return self.get(name)

    def id_of(self, name: str) -> str | None:
        """The id of the container or pod that ``lead`` finds for ``name``; None: it finds none, or several."""
        try:
            return self.lead(name).record.id
        except HyperError:
            return None

    def names(self) -> set[str]:
        """The names that are taken, by containers or pods."""
        return {*self._by_name, *(pod.record.name for pod in self._pods.values())}

    def members(self, pod: str) -> list[Container]:
        """The containers of the pod of the id ``pod``.

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
            Conflict: it is a pod's name or id.
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
            self._refuse_pod(bare)
            raise NotFound(f"No such container: {name}")
        return found[0]

    def _refuse_pod(self, name: str) -> None:
        """The name is no pod's. Raises: Conflict: it is one's, with a hint of what acts on it."""
        try:
            pod = self.pod(name).record.name
        except NotFound:
            return
        raise Conflict(
            f"{pod} is a pod, not a container",
            hint=f"hyper pod stop, start, rm… act on it; its containers are called {pod}-NAME",
        )
