"""``hyper`` in a real terminal: size, keys, detaching, and the terminal as it was afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.command import HYPER
from tests.support.dockerd import Engine
from tests.support.registry import PASSWORD, USER, RealRegistry, registry
from tests.support.terminal import Terminal

pytestmark = pytest.mark.root

#: A prompt nothing else prints.
PROMPT = b"ready> "
SHELL = ["env", "PS1=ready> ", "sh"]


@pytest.fixture
def terminals(engine: Engine) -> Iterator[list[Terminal]]:
    """Terminals to close, and afterwards no container is left."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
    left = _docker(engine, "ps", "-aq").split()
    if left:
        _docker(engine, "rm", "-f", *left)


@pytest.fixture
def shell(engine: Engine, terminals: list[Terminal]) -> Terminal:
    """``hyper run -it`` with a shell at its prompt; the container is called box."""
    words = ["run", "--rm", "-it", "--name", "box", engine.image, *SHELL]
    terminal = Terminal(engine, words, rows=33, columns=101)
    terminals.append(terminal)
    terminal.until(PROMPT)
    return terminal


def _docker(engine: Engine, *words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, env=engine.environ())
    return done.stdout


@contextmanager
def removed(engine: Engine, container: str) -> Iterator[None]:
    """After the block, in which it ends, the container is gone: attach, unlike run --rm, does not wait for that."""
    api = Api(Path(engine.host.removeprefix("unix://")))
    with closing(api.begin("POST", f"/containers/{container}/wait?condition=removed")) as waiting:
        answer = waiting.getresponse()
        assert answer.status == 200
        yield
        answer.read()


def test_exit_code_and_restored_terminal(shell: Terminal) -> None:
    """The terminal is raw while the shell runs, and as before afterwards."""
    assert shell.is_raw()
    shell.type(b"exit 23\r")
    assert shell.end() == 23


def test_size_first_and_after_a_change(shell: Terminal) -> None:
    """The shell's terminal has the size of ours from its start, and follows it."""
    shell.type(b"stty size\r")
    shell.until(rb"33 101\r\n")
    # The shell says when the change has reached it: nothing to wait for by guess.
    shell.type(b"trap 'stty size' WINCH\r")
    shell.until(PROMPT)
    shell.resize(44, 122)
    shell.type(b"until [ \"$(stty size)\" = '44 122' ]; do :; done; echo 'it ''came'\r")
    shell.until(rb"it came")


def _sleep_in(shell: Terminal) -> None:
    """A program runs in the foreground of the shell (its own word says so: the echo of ours does not)."""
    shell.type(b"sh -c 'echo go\"\"ing; exec sleep 600'\r")
    shell.until(rb"going\r\n")


def test_ctrl_c_goes_to_the_program_inside(shell: Terminal) -> None:
    """The command goes on; what it runs is interrupted."""
    _sleep_in(shell)
    shell.type(b"\x03")
    shell.until(PROMPT)
    shell.type(b"echo $?; exit\r")
    shell.until(rb"130")
    shell.end()


def test_job_control(shell: Terminal) -> None:
    """ctrl-z stops the shell's job, not the command."""
    _sleep_in(shell)
    shell.type(b"\x1a")
    shell.until(rb"Stopped")
    shell.until(PROMPT)
    shell.type(b"jobs; kill %1; exit 0\r")
    shell.until(rb"\[1\]")


def test_detach_and_attach_again(
    engine: Engine, shell: Terminal, terminals: list[Terminal]
) -> None:
    """The detach keys leave the shell running with all it knows."""
    shell.type(b"X=kept\r")
    shell.until(PROMPT)
    shell.type(b"\x10\x11")
    assert shell.end() == 0
    assert _docker(engine, "inspect", "-f", "{{.State.Running}}", "box") == "true\n"
    again = Terminal(engine, ["attach", "box"])
    terminals.append(again)
    again.type(b"echo $X\r")
    again.until(rb"kept\r\n")
    with removed(engine, "box"):
        again.type(b"exit 9\r")
        assert again.end() == 9


def test_keys_of_our_own_and_none(
    engine: Engine, shell: Terminal, terminals: list[Terminal]
) -> None:
    """Detach keys of the user's choice are heeded; who detaches leaves the shell to the others."""
    watching = Terminal(engine, ["attach", "--detach-keys", "ctrl-a,d", "box"])
    terminals.append(watching)
    watching.type(b"echo h''i\r")
    watching.until(rb"hi\r\n")
    watching.type(b"\x01d")
    assert watching.end() == 0
    shell.type(b"exit\r")
    shell.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_restores_the_terminal(
    engine: Engine, shell: Terminal, terminals: list[Terminal], number: int
) -> None:
    """attach does not pass signals on where keys do it: it ends, and the terminal is as before."""
    watching = Terminal(engine, ["attach", "box"])
    terminals.append(watching)
    watching.type(b"echo h''i\r")
    watching.until(rb"hi\r\n")
    assert watching.is_raw()
    watching.process.send_signal(number)
    assert watching.end() == 128 + number
    assert _docker(engine, "inspect", "-f", "{{.State.Running}}", "box") == "true\n"


def test_a_start_that_fails_restores_the_terminal(
    engine: Engine, terminals: list[Terminal]
) -> None:
    """A program that is not there is told on a terminal that is as before."""
    terminal = Terminal(engine, ["run", "--rm", "-it", engine.image, "nosuch"])
    terminals.append(terminal)
    terminal.until(rb"executable file not found")
    assert terminal.end() == 127


def test_exec_has_a_terminal_of_its_size(
    engine: Engine, shell: Terminal, terminals: list[Terminal]
) -> None:
    """An exec's terminal has a size of its own."""
    inner = Terminal(engine, ["exec", "-it", "box", *SHELL], rows=55, columns=66)
    terminals.append(inner)
    inner.until(PROMPT)
    inner.type(b"until [ \"$(stty size)\" = '55 66' ]; do :; done; echo 'it ''came'; exit 5\r")
    inner.until(rb"it came")
    assert inner.end() == 5


def test_a_killed_container_ends_the_command(engine: Engine, shell: Terminal) -> None:
    """The exit code is that of SIGKILL, and the terminal as before."""
    _docker(engine, "kill", "box")
    assert shell.end() == 137


def test_start_again_with_a_terminal(engine: Engine, terminals: list[Terminal]) -> None:
    """``start -ai`` gives the terminal that the container was created for."""
    _docker(engine, "create", "-it", "--name", "again", engine.image, *SHELL)
    terminal = Terminal(engine, ["start", "-ai", "again"])
    terminals.append(terminal)
    terminal.until(PROMPT)
    terminal.type(b"exit 3\r")
    assert terminal.end() == 3


def test_ctrl_c_ends_what_goes_on_for_ever(engine: Engine, terminals: list[Terminal]) -> None:
    """stats and events: the terminal is as it was, the exit code says interrupted."""
    _docker(engine, "create", "--name", "made", engine.image, "true")
    for words, sign in (
        (["stats"], rb"CPU %"),
        (["events", "--since", "1h"], rb"container create"),
    ):
        terminal = Terminal(engine, words)
        terminals.append(terminal)
        terminal.until(sign)
        terminal.type(b"\x03")
        assert terminal.end() == 130


def test_dockers_own_client_in_a_terminal(engine: Engine, terminals: list[Terminal]) -> None:
    """A whole session of the stock client: size and its change, keys, detaching, exec, a second attach, exit codes."""

    def docker(*words: str) -> Terminal:
        made = Terminal(engine, list(words), rows=33, columns=101, program=["docker"])
        terminals.append(made)
        return made

    shell = docker("run", "--rm", "-it", "--name", "box", engine.image, *SHELL)
    shell.until(PROMPT)
    assert shell.is_raw()
    # docker sends the first size when the container runs; until then it is none.
    shell.type(b"until [ \"$(stty size)\" = '33 101' ]; do :; done; echo 'it ''came'\r")
    shell.until(rb"it came")
    shell.resize(44, 122)
    shell.type(b"until [ \"$(stty size)\" = '44 122' ]; do :; done; echo 'it ''went'\r")
    shell.until(rb"it went")
    _sleep_in(shell)
    shell.type(b"\x03")
    shell.until(PROMPT)
    shell.type(b"echo $?; X=kept\r")
    shell.until(rb"130\r\n")
    inner = docker("exec", "-it", "-e", "PS1=ready> ", "box", "sh")
    inner.until(PROMPT)
    inner.type(b"tty; exit 5\r")
    inner.until(rb"/dev/pts/1\r\n")
    assert inner.end() == 5
    keys = ("--detach-keys", "ctrl-a,d")
    left = docker("exec", "-it", *keys, "box", "sh", "-c", "echo u''p; exec sleep 601")
    left.until(rb"up\r\n")
    left.type(b"\x01d")
    assert left.end() == 1  # docker says "read escape sequence" and ends so
    assert "sleep 601" in _docker(engine, "top", "box", "-o", "pid,args")
    shell.type(b"\x10\x11")
    assert shell.end() == 0
    again = docker("attach", *keys, "box")
    again.type(b"echo $X\r")
    again.until(rb"kept\r\n")
    again.type(b"\x01d")
    assert again.end() == 1
    last = docker("attach", "box")
    with removed(engine, "box"):
        last.type(b"exit 9\r")
        assert last.end() == 9


@pytest.fixture(scope="module")
def private() -> Iterator[RealRegistry]:
    """A registry that wants a password."""
    with registry(auth=True) as running:
        yield running


def test_login_and_push(
    engine: Engine, terminals: list[Terminal], private: RealRegistry, tmp_path: Path
) -> None:
    """Asked for name and password, which is not shown; a push paints a line a layer."""
    environ = engine.environ() | {"DOCKER_CONFIG": str(tmp_path)}
    target = f"{private.host}/terminal:{'hyper' if engine.is_hyper else 'docker'}"
    _docker(engine, "tag", engine.image, target)
    try:
        refused = Terminal(engine, ["push", target], environ=environ)
        terminals.append(refused)
        refused.until(rb"authentication required|no basic auth credentials")
        assert refused.end() == 1
        for password, sign, code in (
            (b"wrong", rb"(?i)unauthorized", 1),
            (PASSWORD.encode(), rb"Login Succeeded\r\n", 0),
        ):
            terminal = Terminal(engine, ["login", private.host], environ=environ)
            terminals.append(terminal)
            terminal.until(f"Username for {private.host}: ".encode())
            terminal.type(USER.encode() + b"\r")
            terminal.until(rb"Password: ")
            terminal.type(password + b"\r")
            assert password not in terminal.until(sign)
            assert terminal.end() == code
        terminal = Terminal(engine, ["push", target], environ=environ, rows=10, columns=40)
        terminals.append(terminal)
        said = terminal.until(rb"digest: sha256:[0-9a-f]{64} size: \d+\r\n")
        assert terminal.end() == 0
        assert f"The push refers to repository [{private.host}/terminal]".encode() in said
        painted = re.findall(rb"\x1b\[\d+A\r\x1b\[2K([^\x1b]*)", said)
        assert painted[-1].endswith(b": Pushed")
        assert max(len(line.decode()) for line in painted) < 40
    finally:
        _docker(engine, "rmi", target)


def test_strangers_orders_do_not_reach_the_terminal(
    engine: Engine, terminals: list[Terminal]
) -> None:
    """ESC, BEL, C1 and what turns writing, in commands and labels of a container: shown as they are written.

    In a table wherever it goes, in a format on a terminal only; errors with the daemon's words on a terminal, too.
    """
    evil = "\x1b[31mX\x07\x9b2J\u202e"
    written = r"\x1b[31mX\x07\x9b2J\u202e"
    _docker(engine, "create", "--name", "box", "-l", f"l={evil}", engine.image, evil)
    form = "{{.Labels}}"
    for words, wanted in (
        (["ps", "-a", "--no-trunc"], re.escape(written.encode())),
        (["ps", "-a", "--format", form], re.escape(written.encode())),
        (["start", "-a", "box"], rb"\\x1b\[31mX"),
    ):
        terminal = Terminal(engine, words, columns=400)
        terminals.append(terminal)
        assert b"\x1b[31" not in terminal.until(wanted)
        terminal.end()
        assert b"\x1b[31" not in terminal.seen
    for words, text in ((["--no-trunc"], written), (["--format", form], f"l={evil}")):
        done = subprocess.run(
            [*HYPER, "ps", "-a", *words], capture_output=True, env=engine.environ()
        )
        assert text.encode() in done.stdout
