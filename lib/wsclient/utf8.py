"""Incremental UTF-8 validator (RFC 3629 section 4, Unicode table 3-7).

MicroPython's own decoder takes overlong forms, surrogates and code points above U+10FFFF, so it cannot be asked.
"""

from micropython import const

_BLOCK = const(64)
_HIGH_BITS = int.from_bytes(b"\x80" * _BLOCK, "little")


class Utf8:
    """One text, fed in pieces of any size. reset() starts the next one."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._need = 0  # continuation bytes still to come
        self._low = 0x80  # range of the next one: the second byte of some sequences has a narrower range
        self._high = 0xBF

    def is_complete(self):
        """True unless the text so far ends inside a character."""
        return not self._need

    def feed(self, view):
        """Take a memoryview; return False at the first byte that no valid text can have there. Then it is broken."""
        need, low, high = self._need, self._low, self._high
        for at in range(0, len(view), _BLOCK):
            block = view[at : at + _BLOCK]
            if not need and not int.from_bytes(block, "little") & _HIGH_BITS:
                continue  # all ASCII: one big-integer AND costs far less than a loop over the bytes
            for byte in block:
                if need:
                    if not low <= byte <= high:
                        return False
                    need -= 1
                    low, high = 0x80, 0xBF
                elif byte < 0x80:
                    pass
                elif byte < 0xC2 or byte > 0xF4:
                    return False
                elif byte < 0xE0:
                    need = 1
                elif byte < 0xF0:
                    need = 2
                    if byte == 0xE0:
                        low = 0xA0  # below: overlong
                    elif byte == 0xED:
                        high = 0x9F  # above: surrogates
                else:
                    need = 3
                    if byte == 0xF0:
                        low = 0x90  # below: overlong
                    elif byte == 0xF4:
                        high = 0x8F  # above: beyond U+10FFFF
        self._need, self._low, self._high = need, low, high
        return True
