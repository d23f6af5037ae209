"""``hyper commit``."""

from __future__ import annotations

from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag
from hyper.cli.reference import split_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    container, *target = arguments.words
    name, tag = split_reference(target[0]) if target else (None, None)
    made = context.engine.post(
        "/commit",
        {},
        container=container,
        repo=name,
        tag=tag,
        author=arguments.text("--author"),
        comment=arguments.text("--message"),
        changes=arguments.texts("--change"),
        pause=1 if arguments.on("--pause") else 0,
    )
    tell(made["Id"])
    return 0


COMMIT = Command(
    _run,
    words="CONTAINER [NAME[:TAG]]",
    least=1,
    most=2,
    flags=(
        Flag("-a", "--author", takes="TEXT", help="Who made it"),
        Flag(
            "-c",
            "--change",
            takes="INSTRUCTION",
            many=True,
            help="Apply an instruction of a Dockerfile: CMD, ENV, EXPOSE, USER, WORKDIR...",
        ),
        Flag("-m", "--message", takes="TEXT", help="Comment kept with the image"),
        Flag(
            "-p", "--pause", default=True, help="Freeze the container meanwhile (default; -p=false)"
        ),
    ),
    examples=("hyper commit web web:patched", "hyper commit -c 'ENV DEBUG=1' -m tried web"),
)
