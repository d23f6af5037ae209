"""The description of /hyper/v1: it has every route there is, and its schemas are whole."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import MagicMock

import jsonschema

from hyper.api.hyper.app_images import AppImageRoutes
from hyper.api.hyper.fast import FastRoutes
from hyper.api.hyper.openapi import OPERATIONS, PREFIX, OpenApiRoutes, document
from hyper.api.hyper.pods import PodRoutes


def test_every_route_is_described() -> None:
    """No more and no less than what hyperd answers."""
    nobody: Any = MagicMock()
    kinds = (FastRoutes, PodRoutes, AppImageRoutes)
    routes = [*OpenApiRoutes().routes(), *(one for kind in kinds for one in kind(nobody).routes())]
    served = {(method, path) for method, path, _ in routes}
    assert served == {(one.method, PREFIX + one.path) for one in OPERATIONS}


def test_all_it_refers_to_is_in_it() -> None:
    """And each schema is one."""
    text = json.dumps(document())
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    schemas = document()["components"]["schemas"]
    assert named <= set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_body_fits_its_schema() -> None:
    """A pod as docs/pods.md has it passes, one with a number for a name does not."""
    whole = document()
    schema = {"$ref": "#/components/schemas/PodBody", "components": whole["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    good = {"Name": "web", "Containers": [{"Name": "a", "Body": {"Image": "busybox"}}]}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "Name": 1})
