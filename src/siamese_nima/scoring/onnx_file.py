"""What is in an ONNX file besides the network's weights, read without the `onnx` package.

An ONNX file is one protobuf message (onnx.proto3). A few fields of it are wanted here: the metadata
that hold a model card, and which node makes which tensor. To read them takes no runtime and, for a
network of some megabytes, about a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from siamese_nima.errors import WeightsError

# Numbers of fields in onnx.proto3.
_GRAPH, _METADATA = 7, 14  # of ModelProto
_NODE, _OUTPUT = 1, 12  # of GraphProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_INPUTS, _OUTPUTS, _OPERATION = 1, 2, 4  # of NodeProto
_NAME = 1  # of ValueInfoProto

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Node:
    """A step of the network: what it does, and the names of the tensors it takes and makes."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def metadata(content: bytes) -> dict[str, str]:
    """The metadata of a model file.

    Raises:
        WeightsError: Not an ONNX file.
    """
    found = {}
    for entry in _parts(memoryview(content), _METADATA):
        values = {number: part for number, part in _fields(entry) if number in (_KEY, _VALUE)}
        found[_text(values.get(_KEY, b""))] = _text(values.get(_VALUE, b""))
    return found


def nodes(content: bytes) -> tuple[Node, ...]:
    """The steps of the network in the order of the file, which is one they can be done in.

    Raises:
        WeightsError: Not an ONNX file.
    """
    found = []
    for graph in _parts(memoryview(content), _GRAPH):
        for node in _parts(graph, _NODE):
            fields: dict[int, list[str]] = {_INPUTS: [], _OUTPUTS: [], _OPERATION: []}
            for number, part in _fields(node):
                if number in fields:
                    fields[number].append(_text(part))
            operation = "".join(fields[_OPERATION])
            found.append(Node(operation, tuple(fields[_INPUTS]), tuple(fields[_OUTPUTS])))
    return tuple(found)


def with_output(content: bytes, tensor: str) -> bytes:
    """The same network with one more output, a tensor that it computes anyhow.

    A protobuf message that follows another one is merged into it, so that the output is said behind
    the file and nothing of it is written anew.
    """
    output = _field(_NAME, tensor.encode())
    return content + _field(_GRAPH, _field(_OUTPUT, output))


def _parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (part for number, part in _fields(message) if number == wanted)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of every field that has bytes; numbers are passed over."""
    place = 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                _, place = _varint(message, place)
            elif kind in (_FIXED64, _FIXED32):
                place += 8 if kind == _FIXED64 else 4
            elif kind == _BYTES:
                length, place = _varint(message, place)
                if place + length > len(message):
                    raise WeightsError("it ends before it should")
                yield number, message[place : place + length]
                place += length
            else:
                raise WeightsError("it is not an ONNX file")
    except IndexError:
        raise WeightsError("it ends before it should") from None


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise WeightsError("it is not an ONNX file")


def _field(number: int, content: bytes) -> bytes:
    head, length = bytearray([number << 3 | _BYTES]), len(content)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def _text(part: memoryview | bytes) -> str:
    return bytes(part).decode("utf-8", "replace")
