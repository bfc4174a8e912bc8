"""Reads a gauge over the radio link."""

import struct

FRAME_BYTES = 6


class Gauge:
    """One tide gauge."""

    def __init__(self, station):
        self.station = station

    def read(self, link):
        """The water's height in millimetres."""
        return struct.unpack(">xIx", link.receive(FRAME_BYTES))[0]


# The link is retried, because gulls sit on the antenna.
def read_all(gauges, link):
    """Every gauge's height, by station."""
    return {gauge.station: gauge.read(link) for gauge in gauges}
