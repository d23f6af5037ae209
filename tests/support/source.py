"""Python source as a syntax tree, for tests that hold the code to rules."""

from __future__ import annotations

import ast
import gc


def parsed(source: str) -> ast.Module:
    """The syntax tree of ``source``. The garbage collector does not run meanwhile.

    A finalizer that it runs may show a trace, for which the interpreter parses, too: two at once break the outer one
    ("AST constructor recursion depth mismatch": CPython issue 106905, mended in 3.12).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_on:
            gc.enable()
