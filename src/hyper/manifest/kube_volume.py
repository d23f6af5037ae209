"""Volumes of a Kubernetes pod, and where its containers mount them.

Config maps and secrets become files of the containers that mount them.
Source: Kubernetes API reference v1.31, Volume, VolumeMount, KeyToPath.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks, quantity
from hyper.manifest.draft import Draft, add_file, add_mount, bounded
from hyper.manifest.fields import Fields
from hyper.manifest.hyper_volume import network_volume
from hyper.manifest.kube_objects import Objects
from hyper.types.pod import EMPTY, HOST, MEMORY, VOLUME, PodContainer, PodFile, PodMount, PodVolume

_ELSEWHERE: Final = (
    "there is no such storage here; use emptyDir, hostPath, persistentVolumeClaim or nfs"
)
_REFUSED: Final = {
    **dict.fromkeys(
        (
            "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker "
            "gcePersistentDisk gitRepo glusterfs image iscsi photonPersistentDisk portworxVolume quobyte rbd "
            "scaleIO storageos vsphereVolume"
        ).split(),
        _ELSEWHERE,
    ),
    "downwardAPI": "facts of the pod are not written to files; use variables with fieldRef",
    "projected": "projected volumes are not supported; mount the config maps and secrets one by one",
}
#: ``hostPath.type``: whether the directory is made if it is missing.
_HOST_TYPES: Final = {"": False, "Directory": False, "DirectoryOrCreate": True}
_DEFAULT_MODE: Final = 0o644
#: What the kubelet adds for an fsGroup (pkg/volume/volume_linux.go, roMask).
_GROUP_READS: Final = 0o440
#: Of the directory that stands for a config map or secret which is optional and has nothing.
_NOTHING_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a config map or a secret: its path in the volume, content and mode."""

    path: str
    content: bytes
    mode: int


class Volumes:
    """The pod's volumes: those of ``draft``, and the files of the others by the volume's name.

    ``fs_group``: the group that may read those files whatever their modes say; None: no group.
    """

    def __init__(self, draft: Draft, objects: Objects, fs_group: int | None = None) -> None:
        self._draft = draft
        self._objects = objects
        self._fs_group = fs_group
        self._files: dict[str, list[Item]] = {}
        #: Optional config maps and secrets that have no file.
        self._nothing: set[str] = set()
        self._names = checks.Unique("volume")

    def add(self, item: Fields) -> None:
        """A volume of ``spec.volumes`` is added.

        Raises:
            InvalidRequest: it is malformed, or not possible here.
        """
        name = checks.part_name(item.required("name"), item.at("name"))
        self._names.add(name, item.at("name"))
        kinds = {
            "emptyDir": self._empty_dir,
            "hostPath": self._host_path,
            "configMap": self._config_map,
            "secret": self._secret,
            "persistentVolumeClaim": self._claim,
            "nfs": self._nfs,
        }
        item.refuse(_REFUSED)
        # A volume of which nothing is said is an emptyDir.
        kind = item.one_of(*kinds) or "emptyDir"
        item.finish()
        part = item.part(kind) or item.inside({}, item.at(kind))
        kinds[kind](name, part)
        part.finish()

    def mount(self, part: Fields, container: PodContainer) -> None:
        """A mount of a container's ``volumeMounts`` is added.

        Raises:
            InvalidRequest: there is no such volume, or it cannot be mounted so.
        """
        name, inside = part.required("name"), part.text("subPath")
        if name not in self._names:
            raise part.wrong("name", f"there is no volume {name[:80]!r}")
        part.refuse({"subPathExpr": "use subPath, without variables"})
        if part.text("mountPropagation") not in ("", "None"):
            raise part.wrong("mountPropagation", "mounts are not passed on between containers")
        part.ignore(["recursiveReadOnly"])
        sub_path = checks.inner_path(inside, part.at("subPath")) if inside else ""
        target, read_only = part.required("mountPath"), part.boolean("readOnly")
        part.finish()
        if name in self._files:
            self._put(part, container, name, target, sub_path)
            return
        read_only = read_only or name in self._nothing
        mount = PodMount(volume=name, target=target, read_only=read_only, sub_path=sub_path)
        add_mount(container, mount, part, "mountPath")

    def _put(
        self, part: Fields, container: PodContainer, name: str, target: str, sub_path: str
    ) -> None:
        target = checks.guest_path(target, part.at("mountPath"))
        items = self._files[name]
        if sub_path:
            items = [item for item in items if item.path == sub_path]
            if not items:
                raise part.wrong("subPath", f"there is no key {sub_path[:80]!r} in {name}")
        for item in items:
            path = target if sub_path else checks.guest_path(f"{target}/{item.path}", part.path)
            content = base64.b64encode(item.content).decode()
            file = PodFile(path=path, content=content, mode=item.mode)
            if self._fs_group is not None:
                file.gid, file.mode = self._fs_group, item.mode | _GROUP_READS
            add_file(container, file, part.at("mountPath"), self._draft.budget)

    def _keep(self, made: PodVolume) -> None:
        self._draft.volumes[made.name] = made

    def _empty_dir(self, name: str, part: Fields) -> None:
        medium = part.text("medium")
        if medium not in ("", "Memory"):
            raise part.wrong("medium", f"must be Memory or nothing, not {medium[:40]!r}")
        limit = part.take("sizeLimit")
        size = 0 if limit is None else quantity.size(limit, part.at("sizeLimit"))
        if size and not medium:
            part.warn("sizeLimit", "only what is in memory has a limit: it was ignored")
        kind = MEMORY if medium else EMPTY
        self._keep(PodVolume(name=name, kind=kind, size_bytes=size if medium else 0))

    def _host_path(self, name: str, part: Fields) -> None:
        path, kind = part.required("path"), part.text("type")
        if kind not in _HOST_TYPES:
            raise part.wrong(
                "type", f"{kind[:40]!r} cannot be had", hint="use Directory or DirectoryOrCreate"
            )
        source = checks.guest_path(path, part.at("path"))
        self._keep(PodVolume(name=name, kind=HOST, source=source, create=_HOST_TYPES[kind]))

    def _claim(self, name: str, part: Fields) -> None:
        claim = checks.part_name(part.required("claimName"), part.at("claimName"))
        options = self._objects.claims.get(claim) or None
        self._keep(
            PodVolume(
                name=name,
                kind=VOLUME,
                source=claim,
                create=True,
                read_only=part.boolean("readOnly"),
                driver_opts=options,
            )
        )

    def _nfs(self, name: str, part: Fields) -> None:
        made = PodVolume(name=name, read_only=part.boolean("readOnly"))
        path = checks.guest_path(part.required("path"), part.at("path"))
        network_volume(made, part.required("server"), path)
        self._keep(made)

    def _config_map(self, name: str, part: Fields) -> None:
        self._put_files(name, _items(part, "name", self._objects.config_maps))

    def _secret(self, name: str, part: Fields) -> None:
        self._put_files(name, _items(part, "secretName", self._objects.secrets))

    def _put_files(self, name: str, items: list[Item]) -> None:
        """The volume ``name`` has the files ``items``; without any it is a directory that cannot be written to."""
        if items:
            self._files[name] = items
        else:
            self._nothing.add(name)
            self._keep(PodVolume(name=name, kind=MEMORY, size_bytes=_NOTHING_BYTES))


def _items(part: Fields, field: str, kept: dict[str, dict[str, bytes]]) -> list[Item]:
    name, optional = part.required(field), part.boolean("optional")
    mode = part.integer("defaultMode", default=_DEFAULT_MODE, most=0o777)
    wanted = part.items("items")
    if name not in kept and not optional:
        raise part.wrong(
            field, f"there is no {name[:80]!r} in the file", hint="add it as a document"
        )
    content = kept.get(name, {})
    if not part.given("items"):
        return [
            Item(key, bounded(data, f"{part.path}: {key}"), mode) for key, data in content.items()
        ]
    made, paths = [], checks.Unique("file")
    for item in wanted:
        key = item.required("key")
        path = checks.inner_path(item.required("path"), item.at("path"))
        own = item.integer("mode", default=mode, most=0o777)
        item.finish()
        paths.add(path, item.at("path"))
        if key in content:
            made.append(Item(path, bounded(content[key], item.path), own))
        elif not optional:
            raise InvalidRequest(f"{item.at('key')}: there is no key {key[:80]!r} in {name[:80]}")
    return made
