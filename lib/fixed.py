"""Decimal text from scaled integers.

Floats have 24 bits on the device and print as 76.40000000000001 on a computer; what goes
on the wire is therefore made from integers.
"""


def fixed(value, scale, decimals):
    """Text of value / 10**scale with exactly `decimals` decimals, rounded half away from zero.

    >>> fixed(8718, 2, 2), fixed(76449, 3, 1), fixed(-5, 1, 0), fixed(3, 0, 2)
    ('87.18', '76.4', '-1', '3.00')

    value -- int; scale, decimals -- ints >= 0. "-0" is never produced.
    """
    negative = value < 0
    if negative:
        value = -value
    if scale > decimals:
        unit = 10 ** (scale - decimals)
        value = (value + unit // 2) // unit
    else:
        value *= 10 ** (decimals - scale)
    text = str(value)
    if decimals:
        text = "0" * (decimals + 1 - len(text)) + text
        text = text[:-decimals] + "." + text[-decimals:]
    return "-" + text if negative and value else text
