"""``hyper login`` and ``hyper logout``."""

from __future__ import annotations

import os
import sys

from hyper.cli.context import say, tell
from hyper.cli.flags import Command, Flag, LocalError, UsageError
from hyper.client.credentials import HUB, Store, host_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

#: Of a password; what is longer is a file that got here by mistake.
_MAX_SECRET = 64 * 1024


def _login(context: Context, arguments: Arguments) -> int:
    store = Store(os.environ)
    server = host_of(arguments.words[0] if arguments.words else "")
    user, password = _given(arguments)
    if user is None and password is None:
        saved = store.get(server)
        if saved is not None:
            say("Authenticating with existing credentials...")
            return _succeed(context, store, server, saved)
    user, password = _asked(user, password, server)
    auth = {"username": user, "password": password, "serveraddress": server}
    return _succeed(context, store, server, auth)


def _given(arguments: Arguments) -> tuple[str | None, str | None]:
    user, password = arguments.text("--username"), arguments.text("--password")
    if arguments.on("--password-stdin"):
        if password is not None:
            raise UsageError(
                "conflicting options: cannot specify both --password and --password-stdin"
            )
        if not user:
            raise UsageError("the --password-stdin option requires --username to be set")
        data = sys.stdin.buffer.read(_MAX_SECRET + 1)
        if len(data) > _MAX_SECRET:
            raise LocalError(f"standard input holds more than {_MAX_SECRET} bytes: no password")
        password = data.decode().removesuffix("\n").removesuffix("\r")
        if not password:
            raise LocalError("password is empty")
    elif password is not None:
        say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    return user, password


def _asked(user: str | None, password: str | None, server: str) -> tuple[str, str]:
    if (not user or not password) and not sys.stdin.isatty():
        raise LocalError(
            "Error: Cannot perform an interactive login from a non TTY device",
            hint="pipe the password in: hyper login -u NAME --password-stdin SERVER <file",
        )
    if not user:
        sys.stderr.write(f"Username for {'Docker Hub' if server == HUB else server}: ")
        sys.stderr.flush()
        user = sys.stdin.readline().strip()
    if user and not password:
        from getpass import getpass

        password = getpass("Password: ", stream=sys.stderr)
    if not user or not password:
        raise LocalError("username and password are both needed")
    return user, password


def _succeed(context: Context, store: Store, server: str, auth: dict[str, str]) -> int:
    answer = context.engine.post("/auth", auth)
    token = answer.get("IdentityToken") or ""
    secret = token or auth.get("password", "")
    if secret:
        is_hidden = store.keep(server, auth.get("username", ""), secret, token=bool(token))
        if not is_hidden:
            say(
                f"\nWARNING! Your credentials are stored unencrypted in '{store.path}'.\n"
                "Configure a credential helper to remove this warning. See\n"
                "https://docs.docker.com/go/credential-store/\n"
            )
    tell(answer.get("Status") or "Login Succeeded")
    return 0


def _logout(_: Context, arguments: Arguments) -> int:
    server = host_of(arguments.words[0] if arguments.words else "")
    tell(f"Removing login credentials for {server}")
    Store(os.environ).forget(server)
    return 0


LOGIN = Command(
    _login,
    words="[SERVER]",
    most=1,
    flags=(
        Flag(
            "-p",
            "--password",
            takes="PASSWORD",
            help="The password (others see it: --password-stdin is better)",
        ),
        Flag("--password-stdin", help="Read the password from standard input"),
        Flag("-u", "--username", takes="NAME", help="Who you are"),
    ),
    examples=(
        "hyper login registry.example.com",
        "hyper login -u me --password-stdin registry.example.com <password-file",
    ),
)
LOGOUT = Command(_logout, words="[SERVER]", most=1, examples=("hyper logout registry.example.com",))
