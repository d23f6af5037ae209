"""``hyper pod create``, ``run`` and ``add``, and ``hyper play kube``: pods from files."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.commands.run import DAEMON_FAILED, start_failure_code
from hyper.cli.context import say, tell
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.pods import WAIT, find_pod, pod_path, until_ready
from hyper.client.errors import ApiError
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments
    from hyper.manifest.plan import PodPlan


def _plan(arguments: Arguments) -> PodPlan:
    # 40 ms for what only these commands read.
    from hyper.cli.pod_file import read_plan

    plan = read_plan(arguments.words[0])
    plan.body.name = arguments.text("--name") or plan.body.name
    return plan


def _make(context: Context, arguments: Arguments, plan: PodPlan) -> dict[str, Any]:
    from hyper.cli.pod_making import make

    return make(context, plan, when=arguments.text("--pull"), quiet=arguments.on("--quiet"))


def _create(context: Context, arguments: Arguments) -> int:
    tell(_make(context, arguments, _plan(arguments))["Id"])
    return 0


def _run(context: Context, arguments: Arguments) -> int:
    detach, remove = arguments.on("--detach"), arguments.on("--rm")
    if detach and remove:
        raise UsageError("--detach and --rm exclude each other")
    if arguments.on("--wait") and not detach:
        raise UsageError("--wait is for --detach: without it the command stays anyway")
    plan = _plan(arguments)
    made = _make(context, arguments, plan)
    try:
        if detach:
            context.engine.post(pod_path(made["Id"], "/start"))
            tell(made["Id"])
            if arguments.on("--wait"):
                until_ready(context, made["Id"])
            return 0
        status = _attached(context, plan, made)
    except ApiError as error:
        say(f"hyper: {error}")
        status = start_failure_code(error)
    if remove:
        context.engine.delete(pod_path(made["Id"]), force=True, v=True)
    return status


def _add(context: Context, arguments: Arguments) -> int:
    from hyper.cli.pod_file import read_addition
    from hyper.cli.pod_making import add

    name, file = arguments.words
    pod = find_pod(context, name)
    plan = read_addition(file, pod)
    when, quiet = arguments.text("--pull"), arguments.on("--quiet")
    for id in add(context, pod, plan, when=when, quiet=quiet):
        tell(id)
    return 0


def _attached(context: Context, plan: PodPlan, made: dict[str, Any]) -> int:
    from hyper.cli.pod_session import PodSession

    boxes = [*plan.body.init, *plan.body.containers]
    ttys = {box.name: box.body.tty for box in boxes}
    return PodSession(context, made["Name"], ttys).run()


def _play_kube(context: Context, arguments: Arguments) -> int:
    from hyper.cli.pod_file import read_plans

    if arguments.on("--wait") and (arguments.on("--down") or arguments.on("--no-start")):
        raise UsageError("--wait is for pods that are started")
    plans = read_plans(arguments.words[0], only_kubernetes=True)
    if arguments.on("--down"):
        return _take_down(context, [plan.body.name for plan in plans])
    made: list[dict[str, Any]] = []
    try:
        made += (_make(context, arguments, plan) for plan in plans)
    except HyperError:
        # All of the file's pods, or none.
        for pod in made:
            context.engine.delete(pod_path(pod["Id"]), force=True)
        raise
    for pod in made:
        if not arguments.on("--no-start"):
            context.engine.post(pod_path(pod["Id"], "/start"))
        tell(pod["Name"])
    if arguments.on("--wait"):
        for pod in made:
            until_ready(context, pod["Id"])
    return 0


def _take_down(context: Context, names: list[str]) -> int:
    for name in names:
        try:
            context.engine.delete(pod_path(name), force=True)
        except ApiError as error:
            if error.status != 404:
                raise
            continue  # it is down
        tell(name)
    return 0


_PULL = Flag(
    "--pull",
    takes="WHEN",
    parse=values.one_of("missing", "always", "never"),
    help="Fetch images: missing, always, never (default: what the file says, else missing)",
)
_QUIET = Flag("-q", "--quiet", help="Do not show how images are fetched")
_NAME = Flag(
    "--name", takes="NAME", help="Its name (default: what the file says, else one is made up)"
)

POD_CREATE = Command(
    _create,
    words="FILE",
    least=1,
    most=1,
    flags=(_NAME, _PULL, _QUIET),
    examples=("hyper pod create shop.yml", "hyper pod start shop"),
)
POD_RUN = Command(
    _run,
    words="FILE",
    least=1,
    most=1,
    flags=(
        Flag("-d", "--detach", help="Leave it running in the background and print its id"),
        _NAME,
        _PULL,
        _QUIET,
        Flag("--rm", help="Remove it when it ends"),
        WAIT,
    ),
    failure=DAEMON_FAILED,
    examples=(
        "cat shop.yml",
        "    id: shop",
        "    resource: {vcpu: 1, memory: 256}",
        "    containers:",
        "      - name: web",
        "        image: nginx",
        "        ports: [{containerPort: 80, hostPort: 8080}]",
        "      - {name: cache, image: redis}",
        "hyper pod run shop.yml     web reaches cache on 127.0.0.1:6379",
        "hyper pod run -d --wait shop.yml",
        "make-pod | hyper pod run --rm -",
    ),
)
POD_ADD = Command(
    _add,
    words="POD FILE",
    least=2,
    most=2,
    flags=(_PULL, _QUIET),
    examples=(
        "cat debug.yml",
        "    containers:",
        '      - {name: debug, image: busybox, command: [sleep, 1h], volumes: ["data:/data"]}',
        "hyper pod add shop debug.yml     beside the others; data is a volume of the pod",
        "hyper pod exec shop/debug sh",
        "hyper rm -f shop-debug",
    ),
)
PLAY_KUBE = Command(
    _play_kube,
    words="FILE",
    least=1,
    most=1,
    flags=(
        Flag("--down", help="Remove the pods that the file describes, running or not"),
        Flag("--no-start", help="Only create them"),
        _PULL,
        _QUIET,
        WAIT,
    ),
    examples=("hyper play kube --wait pod.yml", "hyper pod ls", "hyper play kube --down pod.yml"),
)
