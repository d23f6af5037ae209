"""Flow control, one stream at a time."""

import pytest

from hyper.errors import ProtocolError
from hyper.proto.limits import CARRIER_WINDOW, MAX_DATA, WINDOW
from hyper.proto.stream import ACK_AFTER, Chunk, ReceiveWindow, SendWindow


def test_send_in_order_until_nothing_is_left() -> None:
    window = SendWindow()
    assert window.append(b"abc") == 3
    assert window.pop(2) == Chunk(0, b"ab", False)
    window.finish()
    assert window.pop() == Chunk(2, b"c", True)
    assert window.pop() is None
    assert not window.done
    window.on_ack(4)
    assert window.done


def test_fin_alone() -> None:
    window = SendWindow()
    window.append(b"a")
    window.pop()
    window.finish()
    window.finish()
    assert window.pop() == Chunk(1, b"", True)
    window.on_ack(1)
    assert not window.done
    window.on_ack(2)
    assert window.done
    assert window.append(b"late") == 0


def test_window_fills_and_opens() -> None:
    window = SendWindow()
    assert window.append(bytes(WINDOW + 5)) == WINDOW
    sent = 0
    while chunk := window.pop():
        assert len(chunk.payload) <= MAX_DATA
        sent += len(chunk.payload)
    assert sent == WINDOW
    assert window.room == 0
    window.on_ack(10)
    assert window.room == 10
    assert window.append(bytes(20)) == 10
    assert window.pop() == Chunk(WINDOW, bytes(10), False)


def test_a_carrier_widens_the_window_while_it_is_there() -> None:
    """What is in flight when it goes stays; nothing more is taken until that is below the narrow window."""
    window = SendWindow()
    window.window = CARRIER_WINDOW
    assert window.append(bytes(2 * CARRIER_WINDOW)) == CARRIER_WINDOW
    chunk = window.pop(300_000)
    assert chunk is not None
    assert (len(chunk.payload), window.in_flight, window.unsent) == (
        300_000,
        300_000,
        CARRIER_WINDOW - 300_000,
    )
    window.window = WINDOW
    assert window.room == 0
    assert window.append(b"x") == 0
    while window.pop():
        pass
    window.on_ack(CARRIER_WINDOW - WINDOW + 1)
    assert window.room == 1
    window.finish()
    assert (window.room, window.finished, window.unsent) == (0, True, 0)


def test_stale_ack_changes_nothing_and_a_future_one_is_refused() -> None:
    window = SendWindow()
    window.append(b"abcd")
    window.pop(2)
    window.on_ack(2)
    window.on_ack(1)
    with pytest.raises(ProtocolError):
        window.on_ack(3)
    with pytest.raises(ProtocolError):
        window.resume(1)  # what was acknowledged is gone
    window.resume(2)
    assert window.pop() == Chunk(2, b"cd", False)


def test_resume_sends_again_from_there() -> None:
    window = SendWindow()
    window.append(b"abcdef")
    window.finish()
    window.pop()
    window.on_ack(2)
    window.resume(4)
    assert window.pop() == Chunk(4, b"ef", True)
    window.resume(2)
    assert window.pop() == Chunk(2, b"cdef", True)
    window.resume(7)
    assert window.pop() is None
    for offset in (1, 8):
        with pytest.raises(ProtocolError):
            window.resume(offset)


def test_paused_sender_continues_from_the_first_ack() -> None:
    window = SendWindow()
    window.append(b"abcdef")
    window.pop()
    window.pause()
    assert window.pop() is None
    window.on_ack(3)
    assert window.pop() == Chunk(3, b"def", False)
    window.pause()
    with pytest.raises(ProtocolError):
        window.on_ack(2)


def test_sender_that_begins_late() -> None:
    window = SendWindow(100)
    window.append(b"x")
    assert window.pop() == Chunk(100, b"x", False)
    window.on_ack(101)


def test_receive_and_acknowledge() -> None:
    window = ReceiveWindow()
    assert window.on_data(0, b"abc", fin=False) == b"abc"
    window.take(3)
    assert window.ack() is None
    assert window.ack(after=1) == 3
    assert window.ack(after=1) is None
    window.on_data(3, b"d", fin=True)
    assert window.ack() is None
    window.take(1)
    assert window.ack() == 5
    assert window.finished


def test_bare_fin_is_taken_with_nothing() -> None:
    window = ReceiveWindow()
    window.on_data(0, b"", fin=True)
    window.take(0)
    assert window.ack() == 1


def test_acknowledges_after_a_quarter_of_the_window() -> None:
    window = ReceiveWindow()
    window.on_data(0, bytes(ACK_AFTER), fin=False)
    window.take(ACK_AFTER - 1)
    assert window.ack() is None
    window.take(1)
    assert window.ack() == ACK_AFTER


@pytest.mark.parametrize(("offset", "size"), [(1, 1), (0, CARRIER_WINDOW + 1), (0, 0)])
def test_receive_refuses(offset: int, size: int) -> None:
    with pytest.raises(ProtocolError):
        ReceiveWindow().on_data(offset, bytes(size), fin=False)


def test_receive_refuses_what_follows_fin_or_repeats() -> None:
    window = ReceiveWindow()
    window.on_data(0, b"a", fin=False)
    with pytest.raises(ProtocolError):
        window.on_data(0, b"a", fin=False)
    window.on_data(1, b"", fin=True)
    with pytest.raises(ProtocolError):
        window.on_data(2, b"a", fin=False)


def test_take_more_than_there_is() -> None:
    window = ReceiveWindow()
    window.on_data(0, b"a", fin=True)
    with pytest.raises(ValueError, match="taken"):
        window.take(2)


def test_rewind_forgets_what_was_not_taken() -> None:
    window = ReceiveWindow()
    window.on_data(0, b"abc", fin=True)
    window.take(2)
    assert window.rewind() == 2
    assert not window.finished
    assert window.on_data(2, b"c", fin=True) == b"c"
    window.take(1)
    assert window.rewind() == 4
    assert window.finished
