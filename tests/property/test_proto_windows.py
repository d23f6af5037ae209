"""The two windows joined by a channel that loses whatever is under way at a reconnect."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.proto.limits import CARRIER_WINDOW, WINDOW
from hyper.proto.stream import Chunk, ReceiveWindow, SendWindow

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 1_200_000)),
        st.tuples(st.just("send"), st.integers(1, 300_000)),
        st.tuples(st.just("carrier"), st.integers(0, 1)),
        st.tuples(st.just("deliver"), st.integers(0, 0)),
        st.tuples(st.just("take"), st.integers(0, 300_000)),
        st.tuples(st.just("ack"), st.integers(1, WINDOW)),
        st.tuples(st.just("acked"), st.integers(0, 0)),
        st.tuples(st.just("reconnect"), st.integers(0, 0)),
        st.tuples(st.just("finish"), st.integers(0, 0)),
    ),
    max_size=60,
)


class Link:
    """A sender, a receiver and what is between them."""

    def __init__(self) -> None:
        self.sender = SendWindow()
        self.receiver = ReceiveWindow()
        self.data: deque[Chunk] = deque()
        self.acks: deque[int] = deque()
        self.given = bytearray()
        self.pending = bytearray()
        self.durable = bytearray()

    def step(self, what: str, count: int) -> None:
        getattr(self, what)(count)
        assert len(self.sender._buffer) <= CARRIER_WINDOW
        assert len(self.pending) <= CARRIER_WINDOW

    def carrier(self, comes: int) -> None:
        self.sender.window = CARRIER_WINDOW if comes else WINDOW

    def write(self, count: int) -> None:
        at = len(self.given)
        block = bytes((at + i) * 31 % 251 for i in range(min(count, 300)))
        block *= count // 300 + 1
        self.given += block[: self.sender.append(block)]

    def finish(self, _: int) -> None:
        self.sender.finish()

    def send(self, limit: int) -> None:
        if chunk := self.sender.pop(limit):
            self.data.append(chunk)

    def deliver(self, _: int) -> None:
        if self.data:
            chunk = self.data.popleft()
            self.pending += self.receiver.on_data(chunk.offset, chunk.payload, fin=chunk.fin)

    def take(self, count: int) -> None:
        count = min(count, len(self.pending))
        self.receiver.take(count)
        self.durable += self.pending[:count]
        del self.pending[:count]

    def ack(self, after: int) -> None:
        if (offset := self.receiver.ack(after=after)) is not None:
            self.acks.append(offset)

    def acked(self, _: int) -> None:
        if self.acks:
            self.sender.on_ack(self.acks.popleft())

    def reconnect(self, _: int) -> None:
        """Output: the guest pauses, the host acknowledges what is durable."""
        self.data.clear()
        self.acks.clear()
        self.pending.clear()
        self.sender.pause()
        self.sender.on_ack(self.receiver.rewind())

    def settle(self) -> None:
        self.sender.finish()
        for _ in range(10_000):
            if self.sender.done:
                return
            self.send(1 << 20)
            self.deliver(0)
            self.take(1 << 20)
            self.ack(1)
            self.acked(0)
        raise AssertionError("stalled")


class InputLink(Link):
    """Input: the guest keeps what it accepted and says so; it repeats its last ACK."""

    def reconnect(self, _: int) -> None:
        self.data.clear()
        self.acks.clear()
        self.sender.resume(self.receiver.expected)
        self.acks.append(self.receiver.taken)


@settings(max_examples=150)
@given(steps)
def test_output_is_neither_lost_nor_doubled(schedule: list[tuple[str, int]]) -> None:
    link = Link()
    for what, count in schedule:
        link.step(what, count)
    link.settle()
    assert link.durable == link.given


@settings(max_examples=150)
@given(steps)
def test_input_is_neither_lost_nor_doubled(schedule: list[tuple[str, int]]) -> None:
    link = InputLink()
    for what, count in schedule:
        link.step(what, count)
    link.settle()
    assert link.durable == link.given
