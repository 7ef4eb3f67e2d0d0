"""Counters that only a device has: Wi-Fi, time, id-tag reader. A cold module: see counters."""


def lines(hal):
    """Yield the lines."""
    if hal.wifi is not None:
        yield "wifi: address %s, %s dBm, errors %d" % (hal.wifi.address, hal.wifi.rssi(), hal.wifi.errors)
    if hal.time is not None:
        yield "time comes from: %s" % hal.time.source
    if hal.reader is not None:
        yield "reader: cards %d, lost %d" % (hal.reader.cards, hal.reader.lost)
