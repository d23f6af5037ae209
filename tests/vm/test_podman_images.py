"""podman's local images, with a real podman: the examples of docs/images.md. Its names and formats: tests/image."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support import page
from tests.support.hyperd import hyperd
from tests.support.podman import podman, why_not
from tests.support.registry import registry
from tests.support.shop import BIN, PAGE, nginx

pytestmark = [
    pytest.mark.vm,
    pytest.mark.root,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


def test_examples_of_the_images_page_with_podman_print_what_it_says() -> None:
    """The registry has ended before hyper runs: there is nothing that could be downloaded a second time. Ids, digests
    and layers are podman's, which has what it had before."""
    image = nginx()
    pull, *others = page.examples(page.section(PAGE.read_text(), "podman's local images"))
    assert len(others) > 5
    with ExitStack() as stack:
        with registry() as hub:
            hub.push(image, "library/nginx:latest")
            engine = stack.enter_context(podman(hub.host))
            mirror = ("--registry-mirror", f"http://{hub.host}")
            ours = stack.enter_context(hyperd(*mirror, "--local-engines", engine.host))
            environ = engine.environ() | {"HYPER_HOST": ours.host}
            environ["PATH"] = f"{BIN}:{environ['PATH']}"
            page.check(*pull, environ)
        before = inspected("podman image inspect nginx:latest", environ)
        for command, lines in others[:4]:
            page.check(command, lines, environ)
        after = inspected("hyper inspect nginx:latest", environ)
        assert inspected("podman image inspect nginx:latest", environ) == before
        assert after["Id"] == f"sha256:{before['Id']}" == image.id
        assert before["RepoDigests"] == [f"docker.io/library/{one}" for one in after["RepoDigests"]]
        assert after["RepoDigests"] == [f"nginx@{image.digest}"]
        assert after["RootFS"]["Layers"] == before["RootFS"]["Layers"]
        for command, lines in others[4:]:
            page.check(command, lines, environ)
        assert inspected("hyper inspect shop:1", environ)["Id"] == image.id


def inspected(line: str, environ: dict[str, str]) -> Any:
    """What a command line prints of one image."""
    return json.loads(page.shell(line, environ))[0]
