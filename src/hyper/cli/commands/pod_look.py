"""``hyper pod logs`` and ``hyper pod exec``: in containers that are named by their pod."""

from __future__ import annotations

from hyper.cli.commands.exec import EXEC_FLAGS, run_in
from hyper.cli.commands.logs import LOG_FLAGS, written
from hyper.cli.context import say
from hyper.cli.flags import Command
from hyper.cli.pods import find_pod, lasting, member
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments
    from hyper.cli.labelled import Labelled


def _logs(context: Context, arguments: Arguments) -> int:
    from hyper.cli.labelled import Labelled  # its threads are for those who follow

    name, *rest = arguments.words
    pod = find_pod(context, name)
    boxes = [member(pod, rest[0])] if rest else list(pod["Containers"])
    output = Labelled([box["Name"] for box in boxes])
    if arguments.on("--follow") and len(boxes) > 1:
        return _follow(context, boxes, output, arguments)
    for box in boxes:
        _show(context, box, output, arguments)
    return 0


def _show(context: Context, box: dict[str, Any], output: Labelled, arguments: Arguments) -> None:
    for descriptor, data in written(context, box["Id"], arguments):
        output.write(box["Name"], descriptor, data)
    output.end(box["Name"])


def _follow(
    context: Context, boxes: list[dict[str, Any]], output: Labelled, arguments: Arguments
) -> int:
    import threading

    failed: list[Exception] = []

    def follow(box: dict[str, Any]) -> None:
        try:
            _show(context, box, output, arguments)
        except HyperError as error:
            say(f"hyper: {box['Name']}: {error}")
            failed.append(error)
        except BrokenPipeError as error:
            failed.append(error)

    # Daemons: Ctrl-C must not wait for a container that has nothing to say.
    threads = [threading.Thread(target=follow, args=(box,), daemon=True) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed:
        if isinstance(error, BrokenPipeError):
            raise error
    return 1 if failed else 0


def _exec(context: Context, arguments: Arguments) -> int:
    where, *command = arguments.words
    name, slash, asked = where.partition("/")
    pod = find_pod(context, name)
    if slash:
        box = member(pod, asked)
    else:
        boxes = lasting(pod)
        box = boxes[0]
        if len(boxes) > 1:
            say(
                f"hyper: in {box['Name']}, the first of {len(boxes)} containers ({name}/CONTAINER chooses)"
            )
    return run_in(context, box["Id"], command, arguments)


POD_LOGS = Command(
    _logs,
    words="POD [CONTAINER]",
    least=1,
    most=2,
    flags=LOG_FLAGS,
    examples=("hyper pod logs shop", "hyper pod logs -f --tail 20 shop web"),
)
POD_EXEC = Command(
    _exec,
    words="POD[/CONTAINER] COMMAND [ARG...]",
    least=2,
    passes_on=True,
    flags=EXEC_FLAGS,
    examples=("hyper pod exec shop/cache redis-cli ping", "hyper pod exec -it shop sh"),
)
