"""The flags of ``run`` and ``create``: one table, each with the field of the API it fills."""

from __future__ import annotations

from hyper.cli import devices, mounts, values
from hyper.cli.flags import Flag, whole_number
from hyper.cli.resources import RESOURCES, RESTART
from hyper.cli.shared_flags import ENVIRONMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _one(name: str, takes: str, what: str, parse: Callable[[str], object] | None = None) -> Flag:
    return Flag(*name.split(), takes=takes, help=what, parse=parse)


def _many(name: str, takes: str, what: str, parse: Callable[[str], object] | None = None) -> Flag:
    return Flag(*name.split(), takes=takes, help=what, parse=parse, many=True)


#: Field of the container's Config -> its flag.
CONFIG: tuple[tuple[str, Flag], ...] = (
    ("Domainname", _one("--domainname", "NAME", "Its domain name")),
    ("Hostname", _one("-h --hostname", "NAME", "Its host name")),
    ("StopSignal", _one("--stop-signal", "SIGNAL", "Signal that hyper stop sends")),
    (
        "StopTimeout",
        _one("--stop-timeout", "SECONDS", "Patience of hyper stop before it kills", whole_number),
    ),
    ("Tty", Flag("-t", "--tty", help="Give it a terminal")),
    ("User", _one("-u --user", "USER[:GROUP]", "User it runs as, name or number")),
    ("WorkingDir", _one("-w --workdir", "PATH", "Folder it starts in")),
)
#: Field of the container's Healthcheck -> its flag.
HEALTH: tuple[tuple[str, Flag], ...] = (
    ("Test", _one("--health-cmd", "COMMAND", "Run this in it now and then: 0 is healthy", values.shell)),
    ("Interval", _one("--health-interval", "TIME", "Time between two checks (30s)", values.duration)),
    ("Retries", _one("--health-retries", "N", "So many failures in a row are unhealthy", whole_number)),
    ("StartInterval", _one("--health-start-interval", "TIME", "Time between two while it starts", values.duration)),
    ("StartPeriod", _one("--health-start-period", "TIME", "So long failures do not count", values.duration)),
    ("Timeout", _one("--health-timeout", "TIME", "What takes longer has failed", values.duration)),
)  # fmt: skip
#: Field of the HostConfig -> its flag; the limits come on top.
HOST: tuple[tuple[str, Flag], ...] = (
    *RESOURCES,
    ("AutoRemove", Flag("--rm", help="Remove it when it ends")),
    ("CapAdd", _many("--cap-add", "CAP", "Add a Linux capability", values.capability)),
    ("CapDrop", _many("--cap-drop", "CAP", "Drop a Linux capability", values.capability)),
    ("CgroupParent", _one("--cgroup-parent", "GROUP", "Control group that its own is in")),
    ("CgroupnsMode", _one("--cgroupns", "MODE", "Control group namespace: private or host")),
    ("DeviceCgroupRules", _many("--device-cgroup-rule", "RULE", "Devices it may use: 'c 1:3 r'")),
    ("Devices", _many("--device", "HOST[:PATH[:rwm]]", "Give it a device", devices.device)),
    ("Dns", _many("--dns", "IP", "Name server in place of the host's")),
    ("DnsOptions", _many("--dns-option", "OPTION", "Option for resolv.conf")),
    ("DnsSearch", _many("--dns-search", "DOMAIN", "Domain to search names in")),
    ("ExtraHosts", _many("--add-host", "HOST:IP", "Add a line to /etc/hosts", values.add_host)),
    ("GroupAdd", _many("--group-add", "GROUP", "Run as a member of this group too")),
    ("Init", Flag("--init", help="Run a small init in it that reaps children")),
    ("IpcMode", _one("--ipc", "MODE", "Shared memory: private, shareable, none, container:NAME")),
    ("Links", _many("--link", "CONTAINER[:NAME]", "Know another container by this name")),
    ("MemorySwappiness", _one("--memory-swappiness", "N", "How soon it swaps, 0 to 100", whole_number)),
    ("Mounts", _many("--mount", "SPEC", "Mount: type=bind,source=/a,target=/b,readonly", mounts.mount)),
    ("OomKillDisable", Flag("--oom-kill-disable", help="Never kill it for want of memory")),
    ("OomScoreAdj", _one("--oom-score-adj", "N", "Killed first (1000) or last (-1000)", whole_number)),
    ("PidMode", _one("--pid", "MODE", "Processes it sees: its own, or container:NAME")),
    ("Privileged", Flag("--privileged", help="Give it all capabilities and devices of its VM")),
    ("PublishAllPorts", Flag("-P", "--publish-all", help="Publish all exposed ports on free ones of the host")),
    ("ReadonlyRootfs", Flag("--read-only", help="Make its root file system read-only")),
    ("Runtime", _one("--hypervisor --runtime", "NAME", "Hypervisor that runs it (default: the daemon's)")),
    ("SecurityOpt", _many("--security-opt", "OPTION", "Security option, as docker's", values.security)),
    ("ShmSize", _one("--shm-size", "SIZE", "Size of /dev/shm", values.size)),
    ("UTSMode", _one("--uts", "MODE", "Host name namespace")),
    ("UsernsMode", _one("--userns", "MODE", "User namespace: host")),
    ("VolumeDriver", _one("--volume-driver", "DRIVER", "Who keeps volumes made for it")),
    ("VolumesFrom", _many("--volumes-from", "CONTAINER[:ro]", "Mount the volumes of another container")),
)  # fmt: skip
#: As HOST; the flag's NAME=VALUE texts make a map.
HOST_MAPS: tuple[tuple[str, Flag], ...] = (
    ("Annotations", _many("--annotation", "NAME=VALUE", "Note to the engine, kept and shown", values.pair)),
    ("StorageOpt", _many("--storage-opt", "NAME=VALUE", "Option of its disk: size=20g", values.pair)),
    ("Sysctls", _many("--sysctl", "NAME=VALUE", "Kernel parameter", values.pair)),
)  # fmt: skip
#: Flags that fill more than one field, or none.
OTHERS: tuple[Flag, ...] = (
    *ENVIRONMENT,
    RESTART,
    _many("-a --attach", "STREAM", "Attach only this: stdin, stdout, stderr",
          values.one_of("stdin", "stdout", "stderr")),
    _one("--cidfile", "FILE", "Write the container's id to a new file"),
    _one("--entrypoint", "COMMAND", "Run this in place of the image's entry point"),
    _many("--expose", "PORT", "Say that it listens on a port or range"),
    Flag("-i", "--interactive", help="Pass our input on to it"),
    _one("--ip", "IP", "Its IPv4 address on its network"),
    _one("--ip6", "IP", "Its IPv6 address on its network"),
    _one("--kernel", "FILE", "Kernel its machine boots: a vmlinux or bzImage of the daemon's host"),
    _many("-l --label", "NAME=VALUE", "Label it", values.label),
    _many("--label-file", "FILE", "Give it the labels of a file, one a line", values.label_file),
    _many("--link-local-ip", "IP", "A link-local address on its network"),
    _one("--log-driver", "DRIVER", "Who keeps what it writes: json-file, none"),
    _many("--log-opt", "NAME=VALUE", "Option of the log: max-size=10m", values.pair),
    _one("--mac-address", "MAC", "Its MAC address"),
    _one("--name", "NAME", "Its name (default: one is made up)"),
    _many("--network --net", "NETWORK", "Network it joins, or none, or name=NET,alias=NAME,ip=IP", values.network),
    _many("--network-alias --net-alias", "NAME", "Another name on its network"),
    Flag("--no-healthcheck", help="Do not check its health, whatever its image says"),
    _one("--platform", "OS/ARCH", "Variant of the image to use"),
    _many("-p --publish", "PORTS", "Publish ports: [[IP:]HOST_PORT:]PORT[/udp], ranges like 8000-8010"),
    _one("--pull", "WHEN", "Fetch the image: missing (default), always, never",
         values.one_of("missing", "always", "never")),
    Flag("-q", "--quiet", help="Do not show how the image is fetched"),
    _many("--tmpfs", "PATH[:OPTIONS]", "Mount an empty file system in memory", mounts.tmpfs),
    _many("--ulimit", "NAME=SOFT[:HARD]", "Resource limit", values.ulimit),
    _many("-v --volume", "[SOURCE:]PATH[:ro]", "Mount a folder or a volume", mounts.volume),
)  # fmt: skip
CREATION: tuple[Flag, ...] = (
    *(flag for table in (CONFIG, HEALTH, HOST, HOST_MAPS) for _, flag in table),
    *OTHERS,
)
