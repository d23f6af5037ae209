"""``hyper pause``, ``unpause``, ``rename`` and ``update``."""

from __future__ import annotations

from hyper.cli.context import say, tell
from hyper.cli.each import for_each
from hyper.cli.flags import Command, LocalError
from hyper.cli.resources import RESOURCES, RESTART, asked_for, restart_policy
from hyper.client.engine import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _pause(context: Context, arguments: Arguments) -> int:
    return for_each(
        arguments.words, lambda name: context.engine.post(container_path(name, "/pause"))
    )


def _unpause(context: Context, arguments: Arguments) -> int:
    return for_each(
        arguments.words, lambda name: context.engine.post(container_path(name, "/unpause"))
    )


def _rename(context: Context, arguments: Arguments) -> int:
    former, name = (word.strip() for word in arguments.words)
    if not former or not name:
        raise LocalError("Error: Neither old nor new names may be empty")
    context.engine.post(container_path(former, "/rename"), name=name)
    return 0


def _update(context: Context, arguments: Arguments) -> int:
    body = asked_for(arguments, RESOURCES)
    policy = restart_policy(arguments.text("--restart"))
    if policy is not None:
        body["RestartPolicy"] = policy
    if not body:
        raise LocalError(
            "you must provide one or more flags when using this command",
            hint="hyper update --help lists them",
        )
    warnings: list[str] = []

    def update(name: str) -> None:
        answer = context.engine.post(container_path(name, "/update"), body)
        tell(name)
        warnings.extend(answer.get("Warnings") or ())

    status = for_each(arguments.words, update, echo=False)
    for warning in warnings:
        say(f"WARNING: {warning}")
    return status


_WORDS = "CONTAINER [CONTAINER...]"

PAUSE = Command(_pause, words=_WORDS, least=1, examples=("hyper pause web",))
UNPAUSE = Command(_unpause, words=_WORDS, least=1, examples=("hyper unpause web",))
RENAME = Command(
    _rename, words="CONTAINER NEW_NAME", least=2, most=2, examples=("hyper rename web old-web",)
)
UPDATE = Command(
    _update,
    words=_WORDS,
    least=1,
    flags=(*(flag for _, flag in RESOURCES), RESTART),
    examples=("hyper update --cpus 1.5 -m 512m web", "hyper update --restart always web db"),
)
