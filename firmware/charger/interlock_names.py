"""Names of the interlock's reasons, for a console. A cold module: nobody asks in a running session."""

# In the order of the bits in interlock.py
NAMES = (
    "NotPlugged BmsSilent BmsForbids BmsLimitZero BmsWindow ModuleLost BmsBus ModuleBus TerminalUnknown TerminalWindow "
    "TerminalOver Sensor TooHot EStop Door Fault NotPermitted LimitZero"
)


def names(reasons):
    """Text for a bit mask: "BmsSilent EStop", or "none"."""
    all_names = NAMES.split(" ")
    return " ".join([all_names[i] for i in range(len(all_names)) if reasons >> i & 1]) or "none"
