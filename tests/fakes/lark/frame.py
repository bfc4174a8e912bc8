"""The frames of Lark's long connection: protobuf 2, package ``pbbp2``, written out by hand.

Written by hand so that the fake shares no code with the clients that it is proven with.
Fields: 1 SeqID, 2 LogID (uint64), 3 service, 4 method (int32; 0 control, 1 data), 5 headers (repeated
``{1 key, 2 value}``), 6 payload_encoding, 7 payload_type, 8 payload (bytes), 9 LogIDNew. 1 to 4 are required.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

CONTROL = 0
DATA = 1

_VARINT = 0
_FIXED_64 = 1
_BYTES = 2
_FIXED_32 = 5


class FrameError(ValueError):
    """These bytes are no frame."""


@dataclass(slots=True)
class Frame:
    """One frame; `headers` in the order of the wire."""

    method: int
    headers: dict[str, str] = field(default_factory=dict)
    payload: bytes = b""
    service: int = 0
    seq_id: int = 0
    log_id: int = 0

    def encode(self) -> bytes:
        """The bytes for the wire."""
        parts = [_number(1, self.seq_id), _number(2, self.log_id), _number(3, self.service), _number(4, self.method)]
        parts += [_bytes(5, _bytes(1, key.encode()) + _bytes(2, value.encode())) for key, value in self.headers.items()]
        if self.payload:
            parts.append(_bytes(8, self.payload))
        return b"".join(parts)


def decode(data: bytes) -> Frame:
    """Read a frame; raises FrameError when the bytes are none or a required field is missing."""
    numbers: dict[int, int] = {}
    frame = Frame(method=CONTROL)
    for number, value in _fields(data):
        if isinstance(value, int):
            numbers[number] = value
        elif number == 5:
            pair = {part: text for part, text in _fields(value) if isinstance(text, bytes)}
            frame.headers[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
        elif number == 8:
            frame.payload = value
    if missing := {1, 2, 3, 4} - set(numbers):
        raise FrameError(f"required fields are missing: {sorted(missing)}")
    frame.seq_id, frame.log_id, frame.service, frame.method = (numbers[number] for number in (1, 2, 3, 4))
    return frame


def fragments(frame: Frame, count: int) -> list[Frame]:
    """The same frame in `count` pieces: one ``message_id``, ``sum`` the count, ``seq`` from 0."""
    step = max(1, -(-len(frame.payload) // count))
    pieces = [frame.payload[start : start + step] for start in range(0, step * count, step)]
    return [
        Frame(
            frame.method, {**frame.headers, "sum": str(count), "seq": str(seq)}, piece, frame.service, seq, frame.log_id
        )
        for seq, piece in enumerate(pieces)
    ]


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1  # a negative int32 takes ten bytes, as protobuf has it
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise FrameError("a number has no end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(data, at)
        elif wire in (_FIXED_32, _FIXED_64):
            size = 4 if wire == _FIXED_32 else 8
        else:
            raise FrameError(f"wire type {wire} is unknown")
        if at + size > len(data):
            raise FrameError("a field is longer than the frame")
        if wire == _BYTES:
            yield number, data[at : at + size]
        at += size
