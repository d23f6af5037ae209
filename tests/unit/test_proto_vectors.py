"""The Python codec against the byte vectors it shares with the C codec."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from hyper.errors import ProtocolError
from hyper.proto import message
from hyper.proto import record as records
from hyper.proto.frame import Flag, Frame, FrameDecoder, FrameType, encode_frame
from hyper.proto.request import Request
from hyper.proto.wire import Writer
from tests.support.vectors import FRAMES, MESSAGES, MOUNT_SOURCES

# Classes whose fields are declared in another order than they travel in.
WIRE_ORDER = {
    "HostHello": ("version", "nonce", "realtime_ns", "entropy"),
    "GuestHello": ("version", "nonce", "boot_ns", "agent", "processes"),
    "ContainerCreate": (
        *("container", "flags", "hostname", "layers", "scratch"),
        *("mounts", "files", "masked", "readonly", "joins", "devices"),
    ),
    "File": ("path", "mode", "uid", "gid", "content"),
    "ProcessStart": (
        *("process", "container", "flags", "args", "env", "cwd", "user"),
        *("groups", "capabilities", "rlimits", "rows", "columns", "seccomp"),
    ),
}
#: Words for a mount's sources.
SOURCES = {
    message.KernelSource: "kernel",
    message.RootSource: "root",
    message.DiskSource: "disk",
    message.ShareSource: "share",
    message.NfsSource: "network",
}


def expand(text: str) -> bytes:
    parts = []
    for term in () if text == "-" else text.split("+"):
        digits, _, count = term.partition("*")
        parts.append(bytes.fromhex(digits) * int(count or 1))
    return b"".join(parts)


def meaning(value: Any) -> str:
    """The canonical text of a value (tests/vectors/README.md)."""
    if type(value) in SOURCES:
        return f"({source(value)})"
    if is_dataclass(value):
        return f"({record(value)})"
    if isinstance(value, tuple):
        return f"[{' '.join(meaning(item) for item in value)}]"
    if isinstance(value, str):
        return f'"{"".join(map(escape, value.encode("utf-8", "surrogateescape")))}"'
    if isinstance(value, bytes):
        return f'x"{value.hex()}"'
    return str(int(value))


def source(value: Any) -> str:
    """The canonical text of a mount's source."""
    return f"{SOURCES[type(value)]} {record(value)}"


def record(value: Any) -> str:
    name = type(value).__name__
    order = WIRE_ORDER.get(name, tuple(field.name for field in fields(value)))
    assert sorted(order) == sorted(field.name for field in fields(value))
    return " ".join(meaning(getattr(value, field)) for field in order)


def escape(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b'"\\'
    return chr(byte) if plain else f"\\{byte:02x}"


def decode(kind: str, body: bytes) -> Any:
    cls = getattr(message, kind, None) or getattr(records, kind)
    if issubclass(cls, Request):
        return message.decode_request(body)
    if cls in (message.ProcessExit, message.GuestError, message.OomKill):
        return message.decode_event(body)
    return cls.decode(body)


def unquoted(text: str) -> str:
    assert text[0] == text[-1] == '"'
    plain = re.sub(rb"\\(..)", lambda m: bytes.fromhex(m[1].decode()), text[1:-1].encode())
    return plain.decode("utf-8", "surrogateescape")


def frame_of(text: str) -> Frame:
    number, flags, stream, body = text.split(" ")
    return Frame(FrameType(int(number)), Flag(int(flags)), int(stream), expand(body))


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str) -> None:
    """The decoder gives a case's frames, or refuses it, as the vectors say."""
    case = FRAMES[name]
    decoder = FrameDecoder()
    seen: list[Frame] = []
    refused = False
    for word, text in case:
        if word == "input":
            try:
                seen += decoder.feed(expand(text))
            except ProtocolError:
                refused = True
    assert seen == [frame_of(text) for word, text in case if word == "frame"]
    assert refused == any(word == "error" for word, _ in case)
    if refused:
        with pytest.raises(ProtocolError):
            decoder.feed(b"\0")


@pytest.mark.parametrize("name", [name for name, case in FRAMES.items() if ("encode", "") in case])
def test_frames_encode(name: str) -> None:
    """A case's frame is encoded to the bytes it is decoded from."""
    case = dict(FRAMES[name])
    frame = frame_of(case["frame"])
    encoded = encode_frame(frame.type, frame.body, stream=frame.stream, flags=frame.flags)
    assert encoded == expand(case["input"])


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    """A case's body is decoded to its value and encoded back, or is refused."""
    case = dict(MESSAGES[name])
    body = expand(case["body"])
    if "malformed" in case:
        with pytest.raises(ProtocolError):
            decode(case["kind"], body)
        return
    decoded = decode(case["kind"], body)
    assert type(decoded).__name__ == case["kind"]
    assert record(decoded) == case["value"]
    assert decoded.encode() == body


@pytest.mark.parametrize("name", MOUNT_SOURCES)
def test_mount_sources(name: str) -> None:
    """The string of a mount's source is decoded to its value and encoded back, or is refused."""
    case = dict(MOUNT_SOURCES[name])
    number, _, quoted = case["source"].partition(" ")
    text, flags = unquoted(quoted), int(number)
    if "refused" in case:
        with pytest.raises(ProtocolError):
            message.decode_source(text, flags)
        return
    decoded = message.decode_source(text, flags)
    assert source(decoded) == case["value"]
    assert (message.encode_source(decoded, flags) == text) == ("other" not in case)


@pytest.mark.parametrize(
    ("wrong", "flags"),
    [
        (message.KernelSource("disk:a:/"), 0),
        (message.KernelSource("a"), message.MS_BIND),
        (message.RootSource("/a"), 0),
        (message.RootSource("tag:a:/"), message.MS_BIND),
        (message.DiskSource("a:b"), 0),
        (message.DiskSource("", "/a"), 0),
        (message.DiskSource("a", ""), 0),
        (message.DiskSource("a", "/b", "sub"), 0),
        (message.ShareSource("a", "/b:c", ""), message.MountFlag.VOLUME),
        (message.NfsSource("a:/b", "c:d"), 0),
        (message.NfsSource("", "c"), 0),
    ],
)
def test_a_mount_source_that_would_be_read_as_another_is_not_encoded(
    wrong: message.MountSource, flags: int
) -> None:
    """No part of a source can make another source of it, whatever is in its names and paths."""
    with pytest.raises(ProtocolError):
        message.Mount("", wrong, "/", flags).write(Writer())


def test_every_message_has_a_vector() -> None:
    """All kinds of messages are among the vectors."""
    kinds = {dict(case)["kind"] for case in MESSAGES.values() if "value" in dict(case)}
    requests = {cls.__name__ for cls in Request.__subclasses__()}
    results = {"Stats", "Processes"}
    others = {
        "HostHello",
        "GuestHello",
        "Reply",
        "ProcessExit",
        "GuestError",
        "OomKill",
        "FileEntry",
    }
    assert kinds == requests | results | others
