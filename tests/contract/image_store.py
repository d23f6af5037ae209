"""What every image store must do: the rules of names, removal and holds, whatever keeps the bytes.

Subclass it in a test module and provide the fixtures ``images`` (an open, empty store) and ``add`` (an async function
that brings an image made of given layers in under a name, and returns its record).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from tools.imagebuilder import Item, file

from hyper.errors import Conflict, InvalidRequest, NotFound
from hyper.image.record import ImageRecord

Add = Callable[[str, list[list[Item]]], Awaitable[ImageRecord]]

A = [[file("a", "aaaa")]]
AB = [[file("a", "aaaa")], [file("b", "bb")]]


class ImageStore(Protocol):
    """What is under test (`hyper.image.images.Images` less `pull`)."""

    def get(self, name_or_id: str) -> ImageRecord: ...
    def list(self) -> Any: ...
    def history(self, name_or_id: str) -> Any: ...
    def usage(self) -> Any: ...
    async def tag(self, source: str, repository: str, tag: str = "") -> ImageRecord: ...
    async def remove(self, name_or_id: str, **options: Any) -> Any: ...
    async def hold(self, holder: str, image_id: str) -> None: ...
    async def release(self, holder: str) -> None: ...
    async def disks(self, image_id: str, *, max_disks: int) -> Any: ...


def _used(*containers: str) -> Callable[[str], list[str]]:
    return lambda _: list(containers)


class ImageStoreContract:
    """The suite."""

    async def test_get_by_every_name(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        digest = one.repo_digests[0]
        for name in (one.repo_tags[0], one.repo_tags[0].removesuffix(":latest"), digest, one.id,
                     one.id[7:], one.id[7:19], one.id[7:8], one.id[:20]):  # fmt: skip
            assert images.get(name) == one

    async def test_absence(self, images: ImageStore, add: Add) -> None:
        await add("x:latest", A)
        for name, shown in (("nope", "nope:latest"), ("x:other", "x:other"), ("r.io/x", "r.io/x:latest"),
                            ("0" * 64, f"sha256:{'0' * 64}"),
                            (f"sha256:{'0' * 64}", f"sha256:{'0' * 64}")):  # fmt: skip
            with pytest.raises(NotFound) as caught:
                images.get(name)
            assert str(caught.value) == f"No such image: {shown}"
        with pytest.raises(InvalidRequest, match="invalid reference format"):
            images.get("Bad Name")

    async def test_ambiguous_prefix(self, images: ImageStore, add: Add) -> None:
        first: dict[str, str] = {}
        for number in range(17):  # seventeen ids, sixteen digits
            one = await add(f"x:{number}", [[file("f", str(number))]])
            if one.id[7] in first:
                with pytest.raises(InvalidRequest, match="reference is ambiguous"):
                    images.get(one.id[7])
                return
            first[one.id[7]] = one.id

    async def test_a_name_is_preferred_to_an_id(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        two = await add("y:latest", AB)
        await images.tag(two.id, one.id[7:11])
        assert images.get(one.id[7:11]).id == two.id

    async def test_tagging_moves_names(self, images: ImageStore, add: Add) -> None:
        one, two = await add("x:latest", A), await add("y:latest", AB)
        assert "moved:latest" in (await images.tag(one.id, "moved")).repo_tags
        await images.tag(two.id, "moved", "latest")
        assert "moved:latest" not in images.get(one.id).repo_tags
        assert images.get("moved").id == two.id
        with pytest.raises(InvalidRequest):
            await images.tag(one.id, "Upper")
        with pytest.raises(NotFound):
            await images.tag("nope", "x")

    async def test_listing_and_sizes(self, images: ImageStore, add: Add) -> None:
        one, two = await add("x:latest", A), await add("y:latest", AB)
        assert {image.id for image in images.list()} == {one.id, two.id}
        assert (one.size, two.size) == (4, 6)
        usage = images.usage()
        assert usage.layers_bytes == 6
        assert usage.shared == {one.id: 4, two.id: 4}

    async def test_history(self, images: ImageStore, add: Add) -> None:
        two = await add("y:latest", AB)
        steps = images.history(two.id)
        assert [(step.id, step.size) for step in steps] == [(two.id, 2), ("<missing>", 4)]
        assert steps[0].tags == two.repo_tags

    async def test_remove_by_the_last_name(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        assert await images.remove(one.repo_tags[0]) == [
            {"Untagged": one.repo_tags[0]},
            {"Untagged": one.repo_digests[0]},
            {"Deleted": one.id},
            {"Deleted": one.layers[0]},
        ]
        assert images.list() == []
        assert not one.layer_paths[0].exists()

    async def test_shared_layers_stay(self, images: ImageStore, add: Add) -> None:
        one, two = await add("x:latest", A), await add("y:latest", AB)
        records = await images.remove(one.id)
        assert {"Deleted": one.layers[0]} not in records
        assert two.layer_paths[0].exists()
        assert len(await images.disks(two.id, max_disks=8)) == 2

    async def test_untag_one_of_two(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        await images.tag(one.id, "other")
        assert await images.remove("other") == [{"Untagged": "other:latest"}]
        assert images.get(one.id) == one

    async def test_id_with_several_names_needs_force(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        await images.tag(one.id, "other")
        with pytest.raises(Conflict) as caught:
            await images.remove(one.id)
        assert str(caught.value) == (
            f"conflict: unable to delete {one.id[7:19]} (must be forced) - "
            "image is referenced in multiple repositories"
        )
        records = await images.remove(one.id, force=True)
        assert {"Untagged": "other:latest"} in records
        assert {"Deleted": one.id} in records

    async def test_used_by_a_container(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        name, short = one.repo_tags[0], one.id[7:19]
        with pytest.raises(Conflict) as caught:
            await images.remove(name, in_use=_used("c" * 64))
        assert str(caught.value) == (
            f'conflict: unable to remove repository reference "{name}" (must force) - '
            f"container {'c' * 12} is using its referenced image {short}"
        )
        with pytest.raises(Conflict, match=r"must be forced\) - image is being used by stopped"):
            await images.remove(one.id, in_use=_used("c" * 64))
        with pytest.raises(Conflict, match=r"cannot be forced\) - image is being used by running"):
            await images.remove(one.id, force=True, in_use=_used("c"), running=_used("c"))
        assert images.get(name) == one

    async def test_held_layers_survive_a_forced_removal(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        await images.hold("container", one.id)
        records = await images.remove(one.id, force=True, in_use=_used("container"))
        assert {"Deleted": one.id} in records
        assert images.list() == []
        with pytest.raises(NotFound):
            images.get(one.id)
        assert await images.disks(one.id, max_disks=1) == [one.layer_paths[0]]
        assert one.layer_paths[0].exists()
        await images.release("container")
        assert not one.layer_paths[0].exists()
        with pytest.raises(NotFound):
            await images.disks(one.id, max_disks=1)

    async def test_a_held_image_comes_back(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        await images.hold("container", one.id)
        await images.remove(one.id)
        assert await add("x:latest", A) == one
        await images.release("container")
        assert images.get(one.id) == one

    async def test_holds_are_idempotent(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", A)
        await images.hold("container", one.id)
        await images.hold("container", one.id)
        await images.release("container")
        await images.release("container")
        await images.remove(one.id)
        with pytest.raises(NotFound):
            await images.hold("container", one.id)

    async def test_merged_disks_go_with_their_image(self, images: ImageStore, add: Add) -> None:
        one = await add("x:latest", [*AB, [file("c", "c")]])
        (merged, top) = await images.disks(one.id, max_disks=2)
        assert top == one.layer_paths[2]
        assert isinstance(merged, Path)
        assert merged.exists()
        await images.remove(one.id)
        assert not merged.exists()
        with pytest.raises(NotFound):
            await images.disks(one.id, max_disks=2)
