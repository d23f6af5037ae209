"""``hyper pod`` and ``hyper play kube`` with real machines: from a file to what its containers say."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import HYPER, call
from tests.support.dockerd import Engine
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

DUO = """
id: duo
resource: {vcpu: 1, memory: 128}
initContainers:
  - {name: first, image: IMAGE, command: [sh, -c, "echo prepared >/shared/mark; echo init ran"],
     volumes: ["shared:/shared"]}
containers:
  - name: server
    image: IMAGE
    command: [sh, -c, "nc -l -p 8080 </shared/mark"]
    volumes: ["shared:/shared:ro"]
  - name: client
    image: IMAGE
    command: [sh, -c, "until nc 127.0.0.1 8080 </dev/null 2>/dev/null; do sleep 0.1; done; cat /etc/greeting; exit 3"]
    files: [{path: /etc/greeting, content: "hello from a file\\n", perm: "0640", user: 7, group: 8}]
volumes: [{name: shared}]
"""
LASTING = """
id: lasting
containers:
  - {name: one, image: IMAGE, command: [sh, -c, "echo up; exec sleep 3600"], stopSignal: KILL, labels: {role: a}}
  - {name: two, image: IMAGE, command: [sleep, "3600"], stopSignal: KILL, user: "7:8", env: {MODE: fast},
     files: [{path: /etc/motd, content: hi, perm: "0640", user: 7, group: 8}]}
"""
KUBE = """
apiVersion: v1
kind: Pod
metadata: {name: site}
spec:
  restartPolicy: Never
  securityContext: {fsGroup: 2000}
  initContainers:
    - {name: prepare, image: IMAGE, command: [sh, -c, "echo -n $(WORD) >/data/word"],
       env: [{name: WORD, valueFrom: {configMapKeyRef: {name: words, key: word}}}],
       volumeMounts: [{name: data, mountPath: /data}]}
  containers:
    - {name: main, image: IMAGE, command: [sh, -c, "cmp /data/word /conf/word && cat /data/word; echo; sleep 3600"],
       volumeMounts: [{name: data, mountPath: /data, readOnly: true}, {name: conf, mountPath: /conf}],
       readinessProbe: {exec: {command: [test, -e, /data/word]}, periodSeconds: 1}}
    - {name: user, image: IMAGE, command: [sh, -c, "touch /plain/a /sub/b && cat /key/k /key/o && echo && ls -A /none &&
       stat -c %a:%u:%g /none /key/k && env | grep ^F_ && ! touch /none/x && touch /plain/end; sleep 3600"],
       readinessProbe: {exec: {command: [test, -e, /plain/end]}, periodSeconds: 1},
       securityContext: {runAsUser: 1000}, envFrom: [{configMapRef: {name: words}, prefix: F_}],
       volumeMounts: [{name: data, mountPath: /plain}, {name: data, mountPath: /sub, subPath: x/y},
         {name: none, mountPath: /none}, {name: key, mountPath: /key}]}
  terminationGracePeriodSeconds: 0
  volumes: [{name: data, emptyDir: {}}, {name: conf, configMap: {name: words}},
    {name: none, configMap: {name: nowhere, optional: true}}, {name: key, secret: {secretName: key, defaultMode: 256}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {word: kubernetes}
binaryData: {bytes: /w==}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {k: "secret ", o: other}
"""


class Shell:
    """``hyper`` on a daemon, in a folder with files of pods."""

    def __init__(self, daemon: Hyperd, image: str, folder: Path) -> None:
        self.engine = Engine(daemon.host, image)
        self._folder = folder

    def file(self, text: str) -> str:
        """The name of a file with ``text``."""
        path = self._folder / "pod.yml"
        path.write_text(text.replace("IMAGE", self.engine.image))
        return str(path)

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """One command, to its end."""
        return call(self.engine, HYPER, *words)

    def out(self, *words: str) -> str:
        """What a command that succeeds prints."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


def said(shell: Shell, pod: str, container: str) -> str:
    """The first line that a container writes, once it has."""
    argv = [*HYPER, "pod", "logs", "-f", pod, container]
    with subprocess.Popen(argv, env=shell.engine.environ(), stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        line = following.stdout.readline().decode()
        following.terminate()
    return line


@pytest.fixture
def shell(daemon: Hyperd, busybox: str, tmp_path: Path) -> Iterator[Shell]:
    """After the test the daemon has no pod."""
    made = Shell(daemon, busybox, tmp_path)
    yield made
    for name in made.out("pod", "ls", "-q").split():
        made.out("pod", "rm", "-f", "-v", name)


MORE = """
containers:
  - {name: three, image: IMAGE, command: [cat, /shared/mark], volumes: ["shared:/shared"]}
  - {name: four, image: IMAGE, command: [COMMAND, "3600"], stopSignal: KILL}
"""
SHARING = """
id: sharing
containers:
  - {name: one, image: IMAGE, command: [sh, -c, "echo mine >/shared/mark; echo up; exec sleep 3600"], stopSignal: KILL,
     volumes: ["shared:/shared"]}
volumes: [{name: shared}]
"""


def test_more_containers_for_a_running_pod(shell: Shell) -> None:
    """They run in its machine, with its volumes; each can be taken away; of a file all are added, or none."""
    shell.out("pod", "run", "-d", "--wait", shell.file(SHARING))
    assert said(shell, "sharing", "one") == "up\n"
    names = ("pod", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "sharing")
    refused = shell.run("pod", "add", "sharing", shell.file(MORE.replace("COMMAND", "no-such")))
    assert (refused.returncode, b"no-such" in refused.stderr) == (1, True)
    assert shell.out(*names) == "one \n"
    ids = shell.out("pod", "add", "sharing", shell.file(MORE.replace("COMMAND", "sleep"))).split()
    assert len(ids) == 2
    assert said(shell, "sharing", "three") == "mine\n"
    assert shell.out("pod", "exec", "sharing/four", "hostname") == "sharing\n"
    again = shell.run("pod", "add", "sharing", shell.file(MORE.replace("COMMAND", "sleep")))
    assert (again.returncode, b"three" in again.stderr) == (1, True)
    assert shell.out(*names) == "one three four \n"
    assert shell.out("rm", "-f", "sharing-four") == "sharing-four\n"
    assert shell.out(*names) == "one three \n"
    nobody = shell.run("pod", "add", "nobody", shell.file(MORE))
    assert (nobody.returncode, b"nobody" in nobody.stderr) == (1, True)


def test_run_shows_what_all_say_and_ends_with_the_highest_code(shell: Shell) -> None:
    """Init containers first; the others share 127.0.0.1 and a volume; nothing is left with --rm."""
    done = shell.run("pod", "run", "--rm", shell.file(DUO))
    lines = done.stdout.decode().splitlines()
    assert (lines[0], sorted(lines[1:])) == (
        "first  | init ran",
        ["client | hello from a file", "client | prepared"],
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert shell.out("pod", "ls", "-q") == ""


def test_pod_run_in_the_background_is_managed_by_its_name(shell: Shell) -> None:
    """Listed, looked into, stopped, started and removed by its name; its containers are docker's, too."""
    shell.out("pod", "run", "-d", shell.file(LASTING))
    assert (
        shell.out("pod", "ls", "--format", "{{.Name}} {{.Ready}} {{.Status}}")
        == "lasting 2/2 running\n"
    )
    told = shell.out(
        "pod", "exec", "lasting/two", "sh", "-c", "id -u; echo $MODE; stat -c '%a %u %g' /etc/motd"
    )
    assert told.split() == ["7", "fast", "640", "7", "8"]
    assert said(shell, "lasting", "one") == "up\n"
    assert shell.out("pod", "logs", "lasting") == "one | up\n"
    assert "lasting-two" in shell.out("ps", "--format", "{{.Names}}")
    assert json.loads(shell.out("pod", "inspect", "lasting"))[0]["Ready"] is True
    assert shell.out("pod", "stop", "lasting") == "lasting\n"
    assert shell.out("pod", "ls", "--format", "{{.Status}}") == "exited\n"
    assert shell.out("pod", "start", "--wait", "lasting") == "lasting\n"
    refused = shell.run("pod", "rm", "lasting")
    assert (refused.returncode, refused.stderr.decode().splitlines()) == (
        1,
        [
            "hyper: cannot remove pod lasting: it is running",
            "stop it first, or use force: hyper pod rm -f lasting",
        ],
    )
    again = shell.run("pod", "create", shell.file(LASTING))
    assert again.stderr.decode().splitlines() == [
        "hyper: there is a pod lasting already",
        "hyper pod start lasting starts it, hyper pod rm -f lasting removes it",
    ]
    assert shell.out("pod", "rm", "-f", "lasting") == "lasting\n"
    assert shell.out("pod", "ls", "-q") == ""


def test_ctrl_c_stops_the_pod(shell: Shell) -> None:
    """The exit code is that of its containers, which have ended."""
    argv = [*HYPER, "pod", "run", shell.file(LASTING)]
    with subprocess.Popen(
        argv, env=shell.engine.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"one | up\n"
        shell.out("pod", "start", "lasting")  # not before all of it runs
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (137, b"hyper: stopping pod lasting; once more kills it\n")
    assert shell.out("pod", "ls", "--format", "{{.Status}}") == "exited\n"


def test_a_container_that_comes_back_is_shown_on(shell: Shell) -> None:
    """Each of its runs, from its first line."""
    text = (
        "containers: [{name: flaky, image: IMAGE, restart: 'onFailure:2', command: [sh, -c, 'echo run; exit 4']},"
        "{name: other, image: IMAGE, command: ['true']}]"
    )
    done = shell.run("pod", "run", "--rm", shell.file(text))
    assert (done.stdout, done.returncode) == (b"flaky | run\n" * 3, 4)


def test_an_init_container_that_fails(shell: Shell) -> None:
    """The error names it, what it said was shown, and nothing runs."""
    text = (
        "{id: broken, init: [{name: first, image: IMAGE, command: [sh, -c, 'echo no; exit 9']}],"
        "containers: [{name: main, image: IMAGE, command: [sleep, '3600']}]}"
    )
    done = shell.run("pod", "run", shell.file(text))
    assert done.stdout == b"first | no\n"
    assert b"init container first of pod broken ended with code 9" in done.stderr
    assert done.returncode == 125
    assert shell.out("pod", "ls", "--format", "{{.Status}}") != "running\n"


def test_play_kube_of_a_manifest_runs_its_pod(shell: Shell) -> None:
    """An init container, a config map as variable and as file, a probe that is waited for, an emptyDir.

    And what somebody who is not root has: an emptyDir and a directory of it to write to, secrets of mode 0400 by
    fsGroup, an empty directory for what is optional and not there, variables without binaryData.
    """
    path = shell.file(KUBE)
    assert shell.out("play", "kube", "--wait", path) == "site\n"
    assert json.loads(shell.out("pod", "inspect", "site"))[0]["Ready"] is True
    assert said(shell, "site", "main") == "kubernetes\n"
    told = shell.run("pod", "logs", "site", "user")
    assert told.stdout == b"secret other\n1777:0:0\n440:0:2000\nF_word=kubernetes\n"
    assert told.stderr == b"touch: /none/x: Read-only file system\n"
    probe = shell.run("pod", "exec", "site", "touch", "/data/new")
    assert (probe.returncode, b"Read-only" in probe.stderr) == (1, True)
    assert shell.out("play", "kube", "--down", path) == "site\n"
    assert shell.out("pod", "ls", "-q") == ""


def test_what_cannot_be_made_leaves_nothing(shell: Shell) -> None:
    """A missing image, a taken name, a pod larger than the host: an error, and no pod."""
    text = "{id: big, resource: {memory: 16000000}, containers: [{name: main, image: IMAGE}]}"
    done = shell.run("pod", "create", shell.file(text))
    assert (done.returncode, b"the host has no more" in done.stderr) == (1, True)
    done = shell.run(
        "pod",
        "create",
        "--pull",
        "never",
        shell.file("containers: [{name: main, image: nowhere/at/all}]"),
    )
    assert (done.returncode, b"No such image" in done.stderr) == (1, True)
    assert shell.out("pod", "ls", "-q") == ""
