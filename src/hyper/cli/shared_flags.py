"""Flags that several commands share."""

from __future__ import annotations

from hyper.cli import mounts, values
from hyper.cli.flags import Flag, whole_number
from hyper.proto.detach import DEFAULT_KEYS

#: Of run, create and exec.
ENVIRONMENT = (
    Flag(
        "-e",
        "--env",
        takes="NAME[=VALUE]",
        many=True,
        parse=values.variable,
        help="Set a variable (NAME alone: to our own value)",
    ),
    Flag(
        "--env-file",
        takes="FILE",
        many=True,
        parse=values.env_file,
        help="Set the variables of a file, one a line",
    ),
)
DETACH_KEYS = Flag(
    "--detach-keys", takes="KEYS", help=f"Keys that leave it running (default: {DEFAULT_KEYS})"
)
SIG_PROXY = Flag(
    "--sig-proxy", default=True, help="Pass signals on to it (default; --sig-proxy=false)"
)
#: Of run and create.
CREATION: tuple[Flag, ...] = (
    Flag(
        "--add-host",
        takes="HOST:IP",
        many=True,
        parse=values.add_host,
        help="Add a line to /etc/hosts",
    ),
    Flag(
        "-a",
        "--attach",
        takes="STREAM",
        many=True,
        parse=values.one_of("stdin", "stdout", "stderr"),
        help="Attach only this: stdin, stdout, stderr",
    ),
    Flag(
        "--cap-add", takes="CAP", many=True, parse=values.capability, help="Add a Linux capability"
    ),
    Flag(
        "--cap-drop",
        takes="CAP",
        many=True,
        parse=values.capability,
        help="Drop a Linux capability",
    ),
    Flag("--cidfile", takes="FILE", help="Write the container's id to a new file"),
    Flag(
        "--cpus",
        takes="N",
        parse=values.cpus,
        help="CPU time it may use, in processors (1.5); its VM gets as many vCPUs, rounded up",
    ),
    Flag("--dns", takes="IP", many=True, help="Name server in place of the host's"),
    Flag("--entrypoint", takes="COMMAND", help="Run this in place of the image's entry point"),
    *ENVIRONMENT,
    Flag("--expose", takes="PORT", many=True, help="Say that it listens on a port or range"),
    Flag("--group-add", takes="GROUP", many=True, help="Run as a member of this group too"),
    Flag("-h", "--hostname", takes="NAME", help="Its host name"),
    Flag("--init", help="Run a small init in it that reaps children"),
    Flag("-i", "--interactive", help="Pass our input on to it"),
    Flag("-l", "--label", takes="NAME=VALUE", many=True, parse=values.label, help="Label it"),
    Flag("-m", "--memory", takes="SIZE", parse=values.size, help="Its VM's memory (512m, 2g)"),
    Flag(
        "--mount",
        takes="SPEC",
        many=True,
        parse=mounts.mount,
        help="Mount: type=bind,source=/a,target=/b,readonly",
    ),
    Flag("--name", takes="NAME", help="Its name (default: one is made up)"),
    Flag("--network", takes="NETWORK", help="Network it joins, or none"),
    Flag("--network-alias", takes="NAME", many=True, help="Another name on its network"),
    Flag("--platform", takes="OS/ARCH", help="Variant of the image to use"),
    Flag("--privileged", help="Give it all capabilities and devices of its VM"),
    Flag(
        "-p",
        "--publish",
        takes="PORTS",
        many=True,
        help="Publish ports: [[IP:]HOST_PORT:]PORT[/udp], ranges like 8000-8010",
    ),
    Flag("-P", "--publish-all", help="Publish all exposed ports on free ones of the host"),
    Flag(
        "--pull",
        takes="WHEN",
        parse=values.one_of("missing", "always", "never"),
        help="Fetch the image: missing (default), always, never",
    ),
    Flag("-q", "--quiet", help="Do not show how the image is fetched"),
    Flag("--read-only", help="Make its root file system read-only"),
    Flag(
        "--restart",
        takes="POLICY",
        parse=values.restart,
        help="When it ends: no (default), always, unless-stopped, on-failure[:N]",
    ),
    Flag("--rm", help="Remove it when it ends"),
    Flag(
        "--security-opt",
        takes="OPTION",
        many=True,
        parse=values.security,
        help="Security option, as docker's",
    ),
    Flag("--shm-size", takes="SIZE", parse=values.size, help="Size of /dev/shm"),
    Flag("--stop-signal", takes="SIGNAL", help="Signal that hyper stop sends"),
    Flag(
        "--stop-timeout",
        takes="SECONDS",
        parse=whole_number,
        help="Patience of hyper stop before it kills",
    ),
    Flag("--sysctl", takes="NAME=VALUE", many=True, parse=values.pair, help="Kernel parameter"),
    Flag(
        "--tmpfs",
        takes="PATH[:OPTIONS]",
        many=True,
        parse=mounts.tmpfs,
        help="Mount an empty file system in memory",
    ),
    Flag("-t", "--tty", help="Give it a terminal"),
    Flag(
        "--ulimit", takes="NAME=SOFT[:HARD]", many=True, parse=values.ulimit, help="Resource limit"
    ),
    Flag("-u", "--user", takes="USER[:GROUP]", help="User it runs as, name or number"),
    Flag(
        "-v",
        "--volume",
        takes="[SOURCE:]PATH[:ro]",
        many=True,
        parse=mounts.volume,
        help="Mount a folder or a volume",
    ),
    Flag("-w", "--workdir", takes="PATH", help="Folder it starts in"),
)
