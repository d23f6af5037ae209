"""The table of commands: what ``hyper --help`` shows, and where each one lives (imported only when it runs)."""

from __future__ import annotations

import sys

from hyper.cli.flags import Command

#: Group -> command -> (module below hyper.cli.commands, what it does).
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "run": ("run", "Create a microVM from an image and run a command in it"),
        "create": ("run", "Create a container without starting it"),
        "start": ("start", "Start stopped containers"),
        "exec": ("exec", "Run a command in a running container"),
        "attach": ("start", "Connect this terminal to a running container"),
        "cp": ("cp", "Copy files and folders into a container or out of it"),
    },
    "Look": {
        "list": ("ps", "List microVMs: driver, vCPUs, memory, boot time"),
        "ps": ("ps", "List containers, as docker ps does"),
        "logs": ("logs", "Show what a container wrote"),
        "inspect": ("inspect", "Show all that is known of an object, as JSON"),
        "port": ("port", "Show the published ports of a container"),
        "stats": ("stats", "Show what containers use, as it changes"),
        "top": ("top", "Show the processes of a container"),
        "diff": ("diff", "Show what a container changed in its file system"),
        "events": ("events", "Show what happens in the daemon, as it happens"),
    },
    "Change": {
        "pause": ("change", "Freeze containers"),
        "unpause": ("change", "Let frozen containers go on"),
        "rename": ("change", "Give a container another name"),
        "update": ("change", "Change limits and restart policy of containers"),
    },
    "End": {
        "stop": ("stop", "Stop containers: signal, then kill after a while"),
        "restart": ("stop", "Stop and start containers"),
        "kill": ("stop", "Send a signal to containers (KILL by default)"),
        "wait": ("stop", "Wait for containers to exit and print their exit codes"),
        "rm": ("stop", "Remove containers"),
    },
    "Images": {
        "images": ("images", "List images"),
        "pull": ("pull", "Fetch an image from its registry"),
        "push": ("push", "Send an image to its registry"),
        "tag": ("tag", "Give an image another name"),
        "history": ("history", "Show what an image was made of"),
        "commit": ("commit", "Make an image of a container's file system"),
        "save": ("archives", "Write images to a tar archive"),
        "load": ("archives", "Read images from a tar archive"),
        "import": ("archives", "Make an image of a tar archive of files"),
        "export": ("archives", "Write a container's files to a tar archive"),
        "search": ("search", "Search Docker Hub for images"),
        "rmi": ("images", "Remove images"),
        "login": ("login", "Keep the credentials for a registry"),
        "logout": ("login", "Forget the credentials for a registry"),
    },
    "System": {
        "pool": ("template", "Show the machines that wait for a container"),
        "info": ("info", "Show the daemon, its hypervisors and why each is usable or not"),
        "version": ("version", "Show the versions of hyper and its daemon"),
        "completion": ("completion", "Print what makes a shell complete hyper's words"),
    },
}
#: Word -> second word -> (module, what it does).
FAMILIES: dict[str, dict[str, tuple[str, str]]] = {
    "container": {"prune": ("prune", "Remove all stopped containers")},
    "image": {"prune": ("prune", "Remove unused images")},
    "network": {
        "create": ("network", "Create a network"),
        "ls": ("network", "List networks"),
        "inspect": ("network", "Show all that is known of networks, as JSON"),
        "rm": ("network", "Remove networks"),
        "connect": ("network", "Connect a container to a network"),
        "disconnect": ("network", "Disconnect a container from a network"),
        "prune": ("prune", "Remove all unused networks"),
    },
    "play": {
        "kube": ("pod_run", "Run the pods of a Kubernetes manifest"),
    },
    "pod": {
        "create": ("pod_run", "Create a pod from a file without starting it"),
        "run": (
            "pod_run",
            "Run a pod: the containers of a file, in one microVM",
        ),
        "add": ("pod_run", "Add the containers of a file to a pod, which may be running"),
        "start": ("pod", "Start pods"),
        "stop": ("pod", "Stop pods"),
        "rm": ("pod", "Remove pods"),
        "ls": ("pod", "List pods"),
        "inspect": ("pod", "Show all that is known of pods, as JSON"),
        "logs": ("pod_look", "Show what the containers of a pod wrote"),
        "exec": ("pod_look", "Run a command in a container of a running pod"),
    },
    "system": {
        "df": ("df", "Show what images, containers and volumes take on the disk"),
        "prune": ("prune", "Remove everything unused"),
    },
    "template": {
        "ls": ("template", "List the templates that machines are copies of"),
        "build": ("template", "Make a template before it is needed"),
        "inspect": ("template", "Show all that is known of templates, as JSON"),
        "rm": ("template", "Remove templates"),
    },
    "trust": {
        "add": ("trust", "Trust who signs App Container Images with a key"),
        "ls": ("trust", "List the keys whose signatures count"),
        "rm": ("trust", "Trust keys no more"),
    },
    "volume": {
        "create": ("volume", "Create a volume"),
        "ls": ("volume", "List volumes"),
        "inspect": ("volume", "Show all that is known of volumes, as JSON"),
        "rm": ("volume", "Remove volumes"),
        "prune": ("prune", "Remove unused volumes"),
    },
}
#: Docker's longer spellings -> the words they stand for.
ALIASES: dict[str, tuple[str, ...]] = {
    **{
        f"container {word}": (word,)
        for word in "attach commit cp create diff exec export kill logs pause port rename restart rm run start stats "
        "stop top unpause update wait".split()
    },
    **{f"image {word}": (word,) for word in "history import load pull push save tag".split()},
    **{f"container {word}": ("ps",) for word in ("ls", "list", "ps")},
    **{f"image {word}": ("images",) for word in ("ls", "list")},
    "container inspect": ("inspect", "--type=container"),
    "image inspect": ("inspect", "--type=image"),
    "image rm": ("rmi",),
    "image remove": ("rmi",),
    "container remove": ("rm",),
    "network list": ("network ls",),
    "network remove": ("network rm",),
    "pod list": ("pod ls",),
    "pod ps": ("pod ls",),
    "pod remove": ("pod rm",),
    "system events": ("events",),
    "system info": ("info",),
    "trust list": ("trust ls",),
    "trust remove": ("trust rm",),
    "volume list": ("volume ls",),
    "volume remove": ("volume rm",),
}
_MODULES = {name: where for group in GROUPS.values() for name, where in group.items()} | {
    f"{family} {word}": where for family, words in FAMILIES.items() for word, where in words.items()
}
SUMMARIES = {name: what for name, (_, what) in _MODULES.items()}


def members(family: str) -> dict[str, str]:
    """The second words of a family and what each does, in order."""
    start = family + " "
    own = {word: what for word, (_, what) in FAMILIES[family].items()}
    short = {
        name.removeprefix(start): SUMMARIES[words[0]]
        for name, words in ALIASES.items()
        if name.startswith(start) and not name.endswith((" list", " remove", " ps"))
    }
    return dict(sorted((own | short).items()))


def find(words: list[str]) -> tuple[str, list[str]] | None:
    """The command that ``words`` begin with and the words left for it; None if there is none.

    Docker's longer spelling of a command is that command: ``container ls -a`` is ``ps``, ``-a``.
    """
    for count in (2, 1):
        name = " ".join(words[:count])
        if name in ALIASES:
            name, *more = ALIASES[name]
            return name, [*more, *words[count:]]
        if len(words) >= count and name in SUMMARIES:
            return name, words[count:]
    return None


def load(name: str) -> Command:
    """The command ``name``, its module imported.

    Raises:
        KeyError: there is no such command.
    """
    module = f"hyper.cli.commands.{_MODULES[name][0]}"
    __import__(module)  # importlib would cost 1 ms more
    command = getattr(sys.modules[module], name.upper().replace(" ", "_"))
    assert isinstance(command, Command)
    return command
