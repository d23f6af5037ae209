"""Ids, units and reasons: what people write and read."""

from __future__ import annotations

import errno
import logging
import socket
import ssl

import pytest

from hyper import ids, units
from hyper.errors import reason
from hyper.log import OneRecord


def test_ids_are_long_random_and_never_look_like_numbers() -> None:
    """An all-digit short id would be taken for a number where it becomes a host name."""
    made = {ids.new_id() for _ in range(200)}
    assert len(made) == 200
    assert all(len(item) == 64 and not item[:12].isdecimal() for item in made)


def test_short_id_drops_the_algorithm() -> None:
    """docker prints twelve digits, with or without sha256: before them."""
    assert ids.short_id("sha256:" + "ab" * 32) == "ab" * 6


@pytest.mark.parametrize("name", ["a", "-x", "a b", "", "x/y", "ä1", "a" * 300])
def test_names_docker_refuses_are_refused(name: str) -> None:
    """Docker's rule: two characters or more of a small alphabet, a letter or digit first."""
    assert not ids.is_valid_name(name)


@pytest.mark.parametrize("name", ["web", "a1", "my_app-1.2", ids.random_name(suffix=True)])
def test_names_docker_accepts_are_accepted(name: str) -> None:
    """Generated names are valid too."""
    assert ids.is_valid_name(name)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512m", 512 << 20), ("1.5g", 3 << 29), ("64k", 65536), ("1000", 1000), ("2GiB", 2 << 30)],
)
def test_sizes_are_binary(text: str, size: int) -> None:
    """-m 512m means MiB, as in Docker."""
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "12q", "-1", "1 2"])
def test_bad_sizes_are_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="invalid size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1700000000 * 10**9),
        ("1700000000.000000005", 1700000000 * 10**9 + 5),
        ("1700000000.5", 1700000000 * 10**9 + 500_000_000),
        ("2023-11-14T22:13:20Z", 1700000000 * 10**9),
        ("2023-11-14T22:13:20.000000007Z", 1700000000 * 10**9 + 7),
        ("2023-11-14T23:13:20+01:00", 1700000000 * 10**9),
        ("2023-11-14", 1699920000 * 10**9),
        ("1m30s", 10**12 - 90 * 10**9),
    ],
)
def test_moments_are_exact_to_the_nanosecond(text: str, expected: int) -> None:
    """``docker events --since`` sends seconds with nine digits; a float would lose the last ones."""
    assert units.parse_timestamp_ns(text, now_ns=10**12) == expected


def test_times_are_written_as_docker_writes_them() -> None:
    """Nine digits and Z, and what is written can be read back."""
    text = units.rfc3339(1700000000 * 10**9 + 42)
    assert text == "2023-11-14T22:13:20.000000042Z"
    assert units.parse_timestamp_ns(text, now_ns=0) == 1700000000 * 10**9 + 42


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "no space left on device: /x"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "tls: handshake failed"),
        (TimeoutError(), "no answer in time"),
        (ValueError("bad thing"), "bad thing"),
        (KeyError(), "KeyError"),
    ],
)  # fmt: skip
def test_reasons_are_the_systems_words(error: Exception, words: str) -> None:
    """No numbers of Python's, no classes where there are words, no objects."""
    assert reason(error) == words


def test_reasons_of_certificates_are_gos_words() -> None:
    """Clients of Docker look for them."""
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] … (_ssl.c:1002)")
    for code, words in (
        (19, "signed by unknown authority"),
        (10, "has expired or is not yet valid"),
    ):
        error.verify_code = code
        assert reason(error) == f"x509: certificate {words}"
    error.verify_code, error.verify_message = (
        62,
        "Hostname mismatch, certificate is not valid for 'x'.",
    )
    assert reason(error) == "x509: Hostname mismatch, certificate is not valid for 'x'"


def test_a_strangers_word_is_one_record_of_the_log() -> None:
    """Neither orders to the terminal nor lines that look like the daemon's own."""
    record = logging.LogRecord("x", 30, "", 0, "says %s", ("a\x1b[2J\nb\x9bc",), None)
    assert OneRecord("%(message)s").format(record) == "says a\\x1b[2J\n  b\\x9bc"
