"""Secrets in the chip's key-value store instead of in a file that anybody can copy. A cold module.

NVS survives a power cut during a write with the old or the new value (ESP-IDF, "Non-Volatile Storage Library"). Names
have at most 15 characters there, so the name of a setting becomes "s" and its CRC-32; texts are blobs of UTF-8.
"""

import binascii

import esp32
from micropython import const

_NAMESPACE = "rivot"
_LONGEST = const(512)  # bytes; blobs above 2 kB would fill the 16 kB partition of the OTA layout
_NOT_FOUND = const(-0x1102)  # ESP_ERR_NVS_NOT_FOUND


class Secrets:
    """get and put by the name of the setting. OSError: the store cannot be read or written; nothing changed."""

    def __init__(self):
        self._nvs = esp32.NVS(_NAMESPACE)

    def get(self, name):
        """The text, or None. ValueError: what is stored is no text."""
        buf = bytearray(_LONGEST)
        try:
            size = self._nvs.get_blob(_key(name), buf)
        except OSError as exc:
            if exc.errno == _NOT_FOUND:
                return None
            raise
        return str(buf[:size], "utf-8")

    def put(self, name, text):
        """Keep a text, durably when this returns; None: forget it. ValueError: too long."""
        if text is None:
            try:
                self._nvs.erase_key(_key(name))
            except OSError as exc:
                if exc.errno != _NOT_FOUND:
                    raise
        else:
            data = text.encode()
            if len(data) > _LONGEST:
                raise ValueError("%s is longer than %d bytes" % (name, _LONGEST))
            self._nvs.set_blob(_key(name), data)
        self._nvs.commit()


class Numbers:
    """Whole numbers of 32 bits, by a key of at most 15 characters. OSError as Secrets."""

    def __init__(self):
        self._nvs = esp32.NVS(_NAMESPACE)

    def get(self, key):
        """The number, or None."""
        try:
            return self._nvs.get_i32(key)
        except OSError as exc:
            if exc.errno == _NOT_FOUND:
                return None
            raise

    def put(self, key, value):
        self._nvs.set_i32(key, value)
        self._nvs.commit()


def _key(name):
    return "s%08x" % (binascii.crc32(name.encode()) & 0xFFFFFFFF)
