"""XMP inside a JPEG file: find it, and write it back with every other byte as it was.

Reference:
    Adobe, "XMP specification, part 3: storage in files", JPEG; CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

from dataclasses import dataclass

from siamese_nima.errors import SidecarError

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST = 65535 - 2  # bytes of a segment
_APP0, _APP1, _APP2, _SCAN = 0xE0, 0xE1, 0xE2, 0xDA
_PACKET_END = b"<?xpacket end="


@dataclass(frozen=True, slots=True)
class JpegXmp:
    """Where the XMP of a JPEG is, or can be.

    Attributes:
        content: The file.
        packet: The XMP; None where there is none.
    """

    content: bytes
    packet: bytes | None
    _start: int
    _end: int
    _fixed: bool

    @classmethod
    def read(cls, content: bytes, label: str) -> JpegXmp:
        """Find it.

        Raises:
            SidecarError: This is no JPEG, is damaged, or has XMP twice. The message starts with
                `label`.
        """
        place, insert, found, fixed = 2, 2, None, False
        begin = content[:2] == b"\xff\xd8"
        while begin:
            if place + 4 > len(content) or content[place] != 0xFF:
                begin = False
                break
            marker = content[place + 1]
            if marker == 0xFF:  # a fill byte
                place += 1
                continue
            if marker == _SCAN:
                break
            end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
            body = content[place + 4 : end]
            if marker == _APP1 and body.startswith(_XMP):
                if found is not None:
                    raise SidecarError(f"{label}: has XMP twice. It is left as it is.")
                # Pictures further back are found from the list of pictures: what stands between
                # may not grow.
                found = cls(content, body[len(_XMP) :], place, end, fixed)
            elif marker == _APP2 and body.startswith(b"MPF\0"):
                fixed = True
            elif place == insert and (
                marker == _APP0 or (marker == _APP1 and body.startswith(b"Exif\0"))
            ):
                insert = end
            place = end
        if not begin:
            raise SidecarError(f"{label}: no JPEG that can be written to; it is left as it is.")
        return found or cls(content, None, insert, insert, False)

    def with_packet(self, packet: bytes, label: str) -> bytes:
        """The file with this XMP.

        Raises:
            SidecarError: There is no room for it.
        """
        if self.packet is not None:
            packet = _as_long_as(packet, len(self.packet))
        body = _XMP + packet
        grown = self.packet is None or len(packet) != len(self.packet)
        if len(body) > _LONGEST or (self._fixed and grown):
            raise SidecarError(f"{label}: has no room for a rating in its XMP; use a sidecar.")
        segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
        return self.content[: self._start] + segment + self.content[self._end :]


def _as_long_as(packet: bytes, length: int) -> bytes:
    """A packet that has grown, with less of the blanks that are there for that."""
    end = packet.rfind(_PACKET_END)
    more = len(packet) - length
    before = packet[:end]
    blanks = len(before) - len(before.rstrip()) if end > 0 else 0
    if not 0 < more < blanks:
        return packet
    return before[:-more] + packet[end:]
