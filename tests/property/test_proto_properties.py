"""Laws of the codecs, under whatever hypothesis thinks of."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hyper.errors import ProtocolError
from hyper.proto import message as m
from hyper.proto.docker_stream import STDERR, STDIN, STDOUT, DockerStreamDecoder, encode_piece
from hyper.proto.frame import Flag, Frame, FrameDecoder, FrameType, Resync, encode_frame
from hyper.proto.limits import MAX_PROCESS_ID, RESYNC

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 2**64 - 1)
process = st.integers(1, MAX_PROCESS_ID)
text = st.binary(max_size=30).map(
    lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
texts = st.lists(text, max_size=4).map(tuple)


def many(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


ip = st.one_of(
    st.builds(m.Ip, st.just(4), st.integers(0, 32), st.binary(min_size=4, max_size=4)),
    st.builds(m.Ip, st.just(6), st.integers(0, 128), st.binary(min_size=16, max_size=16)),
)
interface = st.builds(
    m.Interface,
    st.binary(min_size=6, max_size=6),
    u32,
    many(ip),
    many(st.builds(m.Route, ip, ip)),
)
mount = st.builds(
    lambda kind, start, more, target, flags, data: m.Mount(
        kind, m.decode_source(start + more, flags), target, flags, data
    ),
    text,
    st.sampled_from(["/", "disk:n", "disk:n:/p", "tag:t:/p", "tag:t:/p:s", "net:s:d", "net::"]),
    text.map(lambda more: more or "x"),
    text,
    u32,
    text,
)
#: Sources with parts that may be read as something else.
part = st.one_of(text, st.text("a:/", max_size=4), st.sampled_from(["disk:", "tag:t", "net:"]))
source: st.SearchStrategy[m.MountSource] = st.one_of(
    st.builds(m.KernelSource, part),
    st.builds(m.RootSource, part),
    st.builds(m.DiskSource, part, part, part),
    st.builds(m.ShareSource, part, part, part),
    st.builds(m.NfsSource, part, part),
)
requests: st.SearchStrategy[m.Request] = st.one_of(
    st.builds(m.SandboxSetup, text, many(interface), many(st.tuples(text, text))),
    st.builds(
        m.ContainerCreate,
        container=u32,
        layers=texts,
        flags=st.sampled_from(m.ContainerFlag),
        joins=st.integers(1, 2**32 - 1),  # 0 does not go with every flag
        hostname=text,
        scratch=text,
        mounts=many(mount),
        files=many(st.builds(m.File, text, st.binary(max_size=70000), u32, u32, u32)),
        masked=texts,
        readonly=texts,
    ),
    st.builds(
        m.ProcessStart,
        process=process,
        container=u32,
        args=texts,
        flags=st.integers(0, 15).map(m.ProcessFlag),
        env=texts,
        cwd=text,
        user=text,
        groups=texts,
        capabilities=u64,
        rlimits=many(st.builds(m.Rlimit, u32, u64, u64)),
        rows=u16,
        columns=u16,
        seccomp=st.binary(max_size=64).map(lambda data: data * 8),
    ),
    st.builds(m.ProcessSignal, process, u32, st.sampled_from(m.SignalFlag)),
    st.builds(m.ProcessResize, process, u16, u16),
    st.builds(m.ProcessReap, process),
    st.builds(m.Shutdown, u32),
    st.builds(m.SandboxClock, u64),
)
numbered = (FrameType.REQUEST, FrameType.REPLY)
frames = st.one_of(
    st.builds(Frame, st.sampled_from(numbered), st.just(Flag.NONE), u32.filter(bool), st.binary()),
    st.builds(
        Frame, st.just(FrameType.DATA), st.sampled_from((Flag.NONE, Flag.FIN)), u32, st.binary()
    ),
    st.builds(Frame, st.just(FrameType.EVENT), st.just(Flag.NONE), st.just(0), st.binary()),
)


def encoded(frame: Frame) -> bytes:
    return encode_frame(frame.type, frame.body, stream=frame.stream, flags=frame.flags)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(at)]


places = st.lists(st.integers(0, 1 << 20), max_size=20)


@given(source, u32)
def test_mount_sources_round_trip_or_are_refused(wanted: m.MountSource, flags: int) -> None:
    """A mount's source is read as what it was written as, whatever its parts hold, or it is not written."""
    with contextlib.suppress(ProtocolError):
        assert m.decode_source(m.encode_source(wanted, flags), flags) == wanted


@given(part, u32)
def test_strings_of_mount_sources_have_one_meaning(said: str, flags: int) -> None:
    """A string that is read as a source is the source's own, or another one of the same meaning."""
    with contextlib.suppress(ProtocolError):
        read = m.decode_source(said, flags)
        assert m.decode_source(m.encode_source(read, flags), flags) == read


@given(st.lists(frames, max_size=6), places, st.integers(0, 40))
def test_frames_survive_any_split_and_padding(
    sent: list[Frame], splits: list[int], padding: int
) -> None:
    decoder = FrameDecoder()
    stream = (bytes(padding)).join([b"", *map(encoded, sent), b""])
    assert [frame for piece in cut(stream, splits) for frame in decoder.feed(piece)] == sent


@given(st.lists(frames, min_size=1, max_size=3), st.integers(0, 1 << 20), frames)
def test_a_cut_anywhere_loses_only_the_cut_frame(
    sent: list[Frame], place: int, after: Frame
) -> None:
    stream = b"".join(map(encoded, sent))
    kept = stream[: place % len(stream)]
    whole = FrameDecoder().feed(kept)
    decoder = FrameDecoder()
    got = decoder.feed(kept) + decoder.feed(bytes(RESYNC)) + decoder.feed(encoded(after))
    assert got == [*whole, after]


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_refused_and_nothing_else(pieces: list[bytes]) -> None:
    decoder = FrameDecoder()
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            decoder.feed(piece)
    assert len(decoder._buffer) < 65536 + 13


@given(requests, st.integers(1, 0xFFFFFFFF), places)
def test_requests_round_trip(message: m.Request, number: int, splits: list[int]) -> None:
    decoder, assembler = FrameDecoder(), m.RequestAssembler()
    whole = [
        request
        for piece in cut(m.encode_request(number, message), splits)
        for frame in decoder.feed(piece)
        if (request := assembler.feed(frame)) is not None
    ]
    assert [(n, m.decode_request(body)) for n, body in whole] == [(number, message)]


@given(requests, st.integers(1, 1 << 20))
def test_a_truncated_request_is_refused(message: m.Request, missing: int) -> None:
    body = message.encode()
    kept = body[: -(missing % len(body) + 1)]
    try:
        m.decode_request(kept)
    except ProtocolError:
        return
    raise AssertionError("decoded")


@given(st.binary(max_size=300), st.integers(0, 9))
def test_garbage_bodies_are_refused_and_nothing_else(body: bytes, op: int) -> None:
    decoders = (
        *(m.decode_request, m.decode_event, m.HostHello.decode),
        *(m.GuestHello.decode, m.Reply.decode),
    )
    for data in (body, op.to_bytes(2, "little") + body):
        for decode in decoders:
            with contextlib.suppress(ProtocolError):
                decode(data)


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=300), places)
def test_resync_finds_its_hello_behind_anything(
    nonce: bytes, noise: bytes, splits: list[int]
) -> None:
    hello = m.encode_hello(m.GuestHello(nonce, 5, "agent"))
    resync = Resync(nonce)
    rest: bytes | None = None
    for piece in cut(noise + hello, splits):
        if rest is None:
            rest = resync.feed(piece)
        else:
            rest += piece
    assert rest is not None
    assert rest.endswith(hello)


pieces = st.lists(
    st.tuples(st.sampled_from((STDIN, STDOUT, STDERR)), st.binary(min_size=1, max_size=50))
)


@given(pieces, places)
def test_docker_stream_round_trip(sent: list[tuple[int, bytes]], splits: list[int]) -> None:
    decoder = DockerStreamDecoder()
    data = b"".join(encode_piece(stream, payload) for stream, payload in sent)
    assert [piece for part in cut(data, splits) for piece in decoder.feed(part)] == sent
    assert decoder.idle


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_docker_stream_garbage(parts: list[bytes]) -> None:
    decoder = DockerStreamDecoder(limit=1000)
    with contextlib.suppress(ProtocolError):
        for part in parts:
            decoder.feed(part)
