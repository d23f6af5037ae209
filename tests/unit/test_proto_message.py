"""What the message vectors cannot say: fragments, bounds on encoding, foreign versions."""

import pytest

from hyper.errors import ProtocolError
from hyper.proto.frame import Flag, FrameDecoder
from hyper.proto.limits import MAX_ARGS, MAX_BODY, MAX_ITEMS, MAX_PROCESS_ID, MAX_REQUEST, MAX_STR
from hyper.proto.message import (
    ContainerCreate,
    File,
    GuestHello,
    Ip,
    ProcessReap,
    ProcessStart,
    Reply,
    ReplyCode,
    Request,
    RequestAssembler,
    Shutdown,
    decode_request,
    encode_request,
    split_stream_id,
    stream_id,
)
from hyper.proto.wire import Writer


def create(size: int) -> ContainerCreate:
    return ContainerCreate(1, ("l0",), files=(File("/f", bytes(size)),))


def test_long_request_travels_in_fragments() -> None:
    message = create(3 * MAX_BODY)
    frames = FrameDecoder().feed(encode_request(7, message))
    assert [frame.flags for frame in frames] == [Flag.MORE] * 3 + [Flag.NONE]
    assembler = RequestAssembler()
    *nothing, whole = [assembler.feed(frame) for frame in frames]
    assert nothing == [None] * 3
    assert whole is not None
    assert whole[0] == 7
    assert decode_request(whole[1]) == message


def test_request_of_exactly_one_body_is_one_frame() -> None:
    overhead = len(create(0).encode())
    frames = FrameDecoder().feed(encode_request(1, create(MAX_BODY - overhead)))
    assert [frame.flags for frame in frames] == [Flag.NONE]


def test_longest_request() -> None:
    overhead = len(create(0).encode())
    assert encode_request(1, create(MAX_REQUEST - overhead))
    with pytest.raises(ProtocolError):
        encode_request(1, create(MAX_REQUEST - overhead + 1))


def test_fragments_are_not_mixed() -> None:
    first, *_ = FrameDecoder().feed(encode_request(1, create(MAX_BODY)))
    (other,) = FrameDecoder().feed(encode_request(2, Shutdown(0)))
    assembler = RequestAssembler()
    assembler.feed(first)
    with pytest.raises(ProtocolError):
        assembler.feed(other)


@pytest.mark.parametrize(
    "message",
    [
        ProcessReap(0),
        ProcessReap(MAX_PROCESS_ID + 1),
        Shutdown(-1),
        Shutdown(1 << 32),
        ProcessStart(1, 1, ("a\0b",)),
        ProcessStart(1, 1, ("a" * (MAX_STR + 1),)),
        ProcessStart(1, 1, ("a",) * (MAX_ARGS + 1)),
        ProcessStart(1, 1, ("a",), groups=("a",) * (MAX_ITEMS + 1)),
        ProcessStart(1, 1, ("\udfff\ud800",)),
    ],
)
def test_encode_refuses_what_is_out_of_bounds(message: Request) -> None:
    with pytest.raises(ProtocolError):
        message.encode()


@pytest.mark.parametrize("ip", [Ip(4, 33, bytes(4)), Ip(4, 0, bytes(16)), Ip(5, 0, bytes(4))])
def test_impossible_addresses(ip: Ip) -> None:
    with pytest.raises(ProtocolError):
        ip.write(Writer())


def test_foreign_version_is_read_as_far_as_it_can_be() -> None:
    body = GuestHello(bytes(16), 0, "", (), 2).encode()[:24] + b"whatever version 2 says"
    assert GuestHello.decode(body).version == 2


def test_bytes_that_are_no_text_survive_in_requests_and_are_replaced_in_replies() -> None:
    message = ProcessStart(1, 1, ("caf\udce9",))
    assert b"caf\xe9" in message.encode()
    assert decode_request(message.encode()) == message
    body = Reply(ReplyCode.SYSTEM, 5, "\udce9").encode()
    assert Reply.decode(body).text == "\ufffd"


def test_pid_of_a_reply() -> None:
    assert Reply(ReplyCode.OK, result=(42).to_bytes(4, "little")).pid() == 42
    with pytest.raises(ProtocolError):
        Reply(ReplyCode.OK).pid()


def test_request_of_another_class() -> None:
    with pytest.raises(ProtocolError):
        Shutdown.decode(ProcessReap(1).encode())


def test_stream_ids() -> None:
    assert stream_id(1, 2) == 6
    assert split_stream_id(6) == (1, 2)
    assert split_stream_id(stream_id(MAX_PROCESS_ID, 0)) == (MAX_PROCESS_ID, 0)
    for bad in (0, 3, 7):
        with pytest.raises(ProtocolError):
            split_stream_id(bad)
    for process, fd in ((0, 0), (1, 3), (MAX_PROCESS_ID + 1, 0)):
        with pytest.raises(ProtocolError):
            stream_id(process, fd)
