"""The table of commands: what ``hyper --help`` shows, and where each one lives (imported only when it runs)."""

from __future__ import annotations

import importlib

from hyper.cli.flags import Command

#: Group -> command -> (module below hyper.cli.commands, what it does).
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "run": ("run", "Create a microVM from an image and run a command in it"),
        "create": ("run", "Create a container without starting it"),
        "start": ("start", "Start stopped containers"),
        "exec": ("exec", "Run a command in a running container"),
        "attach": ("start", "Connect this terminal to a running container"),
    },
    "Look": {
        "list": ("ps", "List microVMs: driver, vCPUs, memory, boot time"),
        "ps": ("ps", "List containers, as docker ps does"),
        "logs": ("logs", "Show what a container wrote"),
        "inspect": ("inspect", "Show all that is known of containers or images, as JSON"),
        "port": ("port", "Show the published ports of a container"),
        "events": ("events", "Show what happens in the daemon, as it happens"),
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
        "rmi": ("images", "Remove images"),
    },
    "System": {
        "info": ("info", "Show the daemon, its hypervisors and why each is usable or not"),
        "version": ("version", "Show the versions of hyper and its daemon"),
    },
}
SUMMARIES = {name: what for group in GROUPS.values() for name, (_, what) in group.items()}


def load(name: str) -> Command:
    """The command ``name``, its module imported.

    Raises:
        KeyError: there is none.
    """
    module = {n: m for group in GROUPS.values() for n, (m, _) in group.items()}[name]
    command = getattr(importlib.import_module(f"hyper.cli.commands.{module}"), name.upper())
    assert isinstance(command, Command)
    return command
