"""bms, power, can: what devices say. A cold module."""

from cold import cold
from micropython import const

_STATUS = "charger.commands.status"
_LIVE_S = const(30)
_LONGEST_S = const(600)
_RING = const(32)  # frames that wait to be shown; what is more is counted


async def _bms(console, text):
    show = cold("charger.commands.status")
    number = show.number
    for outlet in console.app.outlets:
        bms = outlet.bms
        await console.say(
            "connector %d: heard %s, %s, %s" % (
                outlet.number,
                show.ago(bms.silent_ms()),
                "permits charging" if bms.permits() else "does not permit charging",
                "asks for heating" if bms.heating else "no heating",
            )
        )  # fmt: skip
        await console.say(
            "  limits %s %s; pack %s, SoC %s, %s; %d bad frames" % (
                number(bms.max_mv, 3, 1, "V"),
                number(bms.max_ma, 3, 1, "A"),
                number(bms.pack_mv, 3, 1, "V"),
                number(bms.soc, 2, 1, "%"),
                number(bms.temperature_dc, 1, 1, "degC"),
                bms.bad_frames,
            )
        )  # fmt: skip
        await _bus(console, "bms%d" % outlet.number)


async def _power(console, text):
    show = cold("charger.commands.status")
    aged = show.aged
    for outlet in console.app.outlets:
        module, gate = outlet.module, outlet.gate
        values = module.values
        await console.say(
            "connector %d: %s; told %s %s; echo %s, %s" % (
                outlet.number,
                show.STATES[gate.state],
                show.number(gate.set_mv, 3, 1, "V"),
                show.number(gate.set_ma, 3, 1, "A"),
                aged(console.app, values, 1, 3, 1, "V"),
                aged(console.app, values, 2, 3, 1, "A"),
            )
        )  # fmt: skip
        await console.say(
            "  out %s, %s; inside %s, %s; %s" % (
                aged(console.app, values, 3, 3, 1, "V"),
                aged(console.app, values, 4, 3, 1, "A"),
                aged(console.app, values, 5, 3, 1, "V"),
                aged(console.app, values, 6, 1, 1, "degC"),
                "healthy" if module.is_healthy() else "NOT healthy",
            )
        )  # fmt: skip
        await console.say(
            "  %d bad frames, %d refused set-points, %d failed starts"
            % (module.bad_frames, module.refused, gate.failed_starts)
        )
        for key in sorted(module.raw):
            await console.say("  raw %04X: %s" % (key, hexed(module.raw[key])))
        await _bus(console, "pm%d" % outlet.number)


async def _bus(console, wanted):
    """Its state, and the counters that are not 0."""
    for name, bus, _ in console.app.buses:
        if name == wanted:
            counts = ", ".join(["%s %d" % pair for pair in sorted(bus.counters().items()) if pair[1]])
            await console.say("  bus %s: %s %s" % (name, "up" if bus.is_up else "DOWN", counts))


def hexed(data):
    return " ".join(["%02X" % byte for byte in data])


class Tap:
    """Looks at the frames of the buses on their way to the charger, for as long as it is there."""

    def __init__(self, app, part):
        self.frames = []
        self.lost = 0
        self._part = part
        self._clock = app.clock
        self._taken = []
        for name, bus, _ in app.buses:
            if hasattr(bus, "on_frame"):  # a UART has none
                self._taken.append((bus, bus.on_frame))
                bus.on_frame = self._listener(name, bus.on_frame)

    def _listener(self, name, then):
        def heard(can_id, flags, data):
            then(can_id, flags, data)  # the charger comes first
            try:
                if self._part in "%08X" % can_id:
                    if len(self.frames) < _RING:
                        self.frames.append((self._clock.uptime_ms(), name, can_id, bytes(data)))
                    else:
                        self.lost += 1
            except Exception:  # noqa: BLE001 - no memory: looking on is not worth a frame
                self.lost += 1

        return heard

    def close(self):
        for bus, was in self._taken:
            bus.on_frame = was


async def _can(console, text):
    words = text.split()
    seconds = _LIVE_S
    part = ""
    if words and not (words[0].isdigit() and len(words) == 1 and len(words[0]) < 4):
        part = words.pop(0).upper().replace("0X", "")
    if words:
        if not words[0].isdigit() or len(words) > 1 or not 1 <= int(words[0][:9]) <= _LONGEST_S:
            raise ValueError("can [ID] [SECONDS]: hex digits of the identifier, 1 to %d seconds" % _LONGEST_S)
        seconds = int(words[0])
    if len(part) > 8 or not all([c in "0123456789ABCDEF" for c in part]):
        raise ValueError("The identifier has up to 8 hex digits.")
    await console.say("-- %d s; any key ends" % seconds)
    tap = Tap(console.app, part)
    end = console.app.clock.uptime_ms() + seconds * 1000
    try:
        while console.app.clock.uptime_ms() < end and not await console.key(50):
            for at, name, can_id, data in tap.frames:
                meaning = cold("charger.commands.frames").meaning(can_id, data)
                await console.say(
                    "%d.%03d %s %08X %-24s%s" % (at // 1000, at % 1000, name, can_id, hexed(data), meaning)
                )
            tap.frames = []
    finally:
        tap.close()
    if tap.lost:
        await console.say("%d more frames were not shown" % tap.lost)


COMMANDS = (_bms, _power, _can)  # in the order of table.py
