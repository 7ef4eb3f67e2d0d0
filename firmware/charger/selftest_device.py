"""The rows of the self-test that only a device has. A cold module: see selftest.look."""

from micropython import const

_WEAK_DBM = const(-80)


def look(hal, rows, row):
    """Add Wi-Fi and id-tag reader. row -- selftest.row"""
    wifi = hal.wifi
    if wifi is not None:
        name = "wireless network"
        if wifi.address is None:
            row(rows, name, False, "not connected: check wifi.ssid, wifi.password and the access point")
        else:
            rssi = wifi.rssi()
            weak = rssi is not None and rssi < _WEAK_DBM
            row(rows, name, not weak, "weak signal (%s dBm): move the antenna or the access point" % rssi)
    if hal.reader is not None:
        row(rows, "id-tag reader", hal.reader.is_up, "does not answer: check its wiring and 3.3 V")
