"""How a frame breaks the protocol. A cold module (see lib/cold.py). Source: RFC 6455 section 5."""


def in_words(first, second):
    """What is wrong with a header that starts with these two bytes (ints), for the close frame and the log."""
    opcode = first & 0x0F
    if first & 0x70:
        return "reserved bit"
    if second & 0x80:
        return "masked frame"
    if 2 < opcode < 8 or opcode > 10:
        return "opcode %d" % opcode
    if opcode >= 8:
        return "control frame fragmented or too long"
    return "message inside a message" if opcode else "continuation of nothing"
