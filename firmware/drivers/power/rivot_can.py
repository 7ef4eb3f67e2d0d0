"""Rivot "CM1" power module over CAN (250 kbit/s, 29-bit identifiers, big-endian).

Sources: public reference firmware flashCharge (revisions Dec 2025 to Feb 2026); no vendor document is known. The
control and telemetry identifiers follow the layout of the Huawei R48xx family (registers 0x00 voltage, 0x03 current,
0x32 standby), the terminal frames that of Infypower (command 3 and 7). What is unproven on hardware is said below.
"""

from fresh import Fresh
from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT

_ID_CONTROL = const(0x068181FE)  # us to module
_ID_CONTROL_ANSWER = const(0x0681817E)
_ID_TELEMETRY = const(0x068182FE)
_ID_TELEMETRY_ANSWER = const(0x0681827E)
_ID_TERMINAL_POWER = const(0x00433F01)  # unsolicited: two float32, V and A
_ID_TERMINAL_STATUS = const(0x00473F01)  # unsolicited
_ID_HEARTBEAT = const(0x18FF50E5)  # only its arrival means something

_FN_VOLTAGE = const(0x00)  # V x 1024
_FN_CURRENT = const(0x03)  # A x 30.5
_FN_OFFLINE_VOLTAGE = const(0x01)  # what rules while CAN is silent, scales as above; not every module may have them
_FN_OFFLINE_CURRENT = const(0x04)
_FN_OUTPUT = const(0x32)  # byte 3: 0 on
_FN_TEMPERATURE = const(0x80)
_FN_MODULE_VOLTAGE = const(0x84)
_TELEMETRY = b"\x84\x82\x79\x80\x83"

_FIRST_MS = const(500)
_CONTROL_MS = const(750)  # a round of all functions: one per 250 ms
_TELEMETRY_MS = const(200)
_OFF_MS = const(100)
_OFF_MA = const(500)  # below this the output counts as without current
_HIGHEST = const(1_000_000)  # mV, mA: largest set-point that is not a bug
_TEMPERATURE_LIMIT = const(128_000)  # Q10: 125 degC
_TEMPERATURE_SATURATED = const(0xFFFF)
_RAW_KEPT = const(12)

# Numbers of the values that have an age
_ECHO_ON = const(0)
_ECHO_MV = const(1)
_ECHO_MA = const(2)
_MV = const(3)
_MA = const(4)
_MODULE_MV = const(5)
_TEMPERATURE = const(6)
_STATUS = const(7)  # 1 not charging, 2 charging, 0 neither
_HEARTBEAT = const(8)
_GUARD_MV = const(9)  # the offline registers hold what we wrote
_GUARD_MA = const(10)

_OUTPUT_ON = b"\x01\x32\x00\x00\x00\x00\x00\x00"
_OUTPUT_OFF = b"\x01\x32\x00\x01\x00\x00\x00\x00"
_ZERO_VOLTAGE = b"\x01\x00\x00\x00\x00\x00\x00\x00"
_ZERO_CURRENT = b"\x01\x03\x00\x00\x00\x00\x00\x00"
_OFFLINE_VOLTAGE = b"\x01\x01\x00\x00\x00\x00\xc0\x00"  # 48 V: below every pack
_OFFLINE_CURRENT = b"\x01\x04\x00\x00\x00\x00\x00\x00"


def float_milli(data, at):
    """Big-endian IEEE 754 single at data[at:at+4] -> nearest integer of 1/1000; None for NaN, infinity, |x| >= 512.

    Integer arithmetic within 31 bits: exact to 1e-6 before rounding, whatever the width of the machine's floats.
    """
    exponent = (data[at] & 0x7F) << 1 | data[at + 1] >> 7
    if exponent >= 136:
        return None
    mantissa = (data[at + 1] & 0x7F) << 16 | data[at + 2] << 8 | data[at + 3]
    if exponent:
        mantissa |= 0x800000
    shift = 150 - (exponent or 1)  # value = mantissa / 2**shift, shift >= 15
    whole = 0
    if shift < 24:
        whole = mantissa >> shift
        mantissa &= (1 << shift) - 1
    part = mantissa >> (shift - 20) if shift >= 20 else mantissa << (20 - shift)  # fraction in 1/2**20
    milli = whole * 1000 + (part * 1000 + 0x80000 >> 20)
    return -milli if data[at] & 0x80 else milli


def _word(data):
    """Bytes 4-7 as an unsigned number; None above 0xFFFFFF (all ones means "not available")."""
    return None if data[4] else data[5] << 16 | data[6] << 8 | data[7]


def _volts(raw):
    """Register counts in mV."""
    return None if raw is None else (raw * 125 + 64) >> 7


def _pack(frame, raw):
    frame[4] = raw >> 24
    frame[5] = raw >> 16 & 255
    frame[6] = raw >> 8 & 255
    frame[7] = raw & 255


class RivotModule:
    """Commands, telemetry and health of one power module (face: drivers/README.md). Owns no task.

    current_scale_x10 -- register counts per 10 A (305: the reference's 30.5 per ampere; a property of the module model)
    timeout_ms -- a value older than this is unknown
    offline_limits -- keep 48 V and 0 A in the registers that rule while CAN is silent: modules of the Huawei family go
    to full power then. is_guarded() tells whether the module holds them
    """

    def __init__(self, can, clock, current_scale_x10=305, timeout_ms=3000, offline_limits=False):
        self.on_power = None  # on_power(mv, ma), each valid terminal power frame
        self.bad_frames = 0
        self.refused = 0  # set-points that the module did not accept
        # Last bytes of what nobody could explain yet, for study. Keys: 0x8100 and 0x8200 | function of a control or
        # telemetry answer, 0x4700 terminal status. At most 12.
        self.raw = {}
        self._can = can
        self._clock = clock
        self._scale = current_scale_x10
        self._on = False
        self._voltage_frame = bytearray(_ZERO_VOLTAGE)
        self._current_frame = bytearray(_ZERO_CURRENT)
        self._telemetry_frame = bytearray(8)
        self._telemetry_frame[0] = 1
        now = clock.ticks_ms()
        self._control_due = self._telemetry_due = clock.ticks_add(now, _FIRST_MS)
        self._control_step = self._telemetry_step = 0
        self._off_due = None  # ticks of the next repetition of "off", None: nothing to repeat
        self._temperature_bad = False
        self._steps = 5 if offline_limits else 3
        self.values = Fresh(clock, timeout_ms, 11)

    # -- commands

    def command(self, on, mv, ma):
        """Set what the control cycle repeats. mv, ma -- ints, 0..1,000,000, else ValueError. Sends nothing itself."""
        if not (0 <= mv <= _HIGHEST and 0 <= ma <= _HIGHEST):
            raise ValueError("set-point")
        if on != self._on:
            self.values.put(_ECHO_ON, None)  # an echo from before says nothing about this command
        if on:
            self._off_due = None
        self._on = bool(on)
        _pack(self._voltage_frame, (mv * 128 + 62) // 125)  # x 1024 / 1000, to nearest
        _pack(self._current_frame, (ma * self._scale + 5000) // 10_000)

    def push(self):
        """Send the whole present command now: voltage, current, on or off."""
        self._send(self._voltage_frame)
        self._send(self._current_frame)
        self._send(_OUTPUT_ON if self._on else _OUTPUT_OFF)

    def off(self):
        """Output off, now: sends current zero and off, and tick() repeats both every 100 ms until is_off().

        Synchronous, allocates nothing, never raises for a dead bus.
        """
        if self._on:
            self.values.put(_ECHO_ON, None)
        self._on = False
        for i in range(4, 8):
            self._voltage_frame[i] = self._current_frame[i] = 0
        self._send_off()

    def tick(self):
        """Send what is due; call it every 50 ms or more often. Both groups always cycle, whatever the state."""
        clock = self._clock
        now = clock.ticks_ms()
        if self._off_due is not None and clock.ticks_diff(now, self._off_due) >= 0:
            if self.is_off():
                self._off_due = None
            else:
                self._send_off()
        if clock.ticks_diff(now, self._control_due) >= 0:
            self._control_due = clock.following(self._control_due, _CONTROL_MS // self._steps)
            step = self._control_step
            self._control_step = (step + 1) % self._steps
            if step == 0:
                self._send(_OUTPUT_ON if self._on else _OUTPUT_OFF)
            elif step < 3:
                self._send(self._voltage_frame if step == 1 else self._current_frame)
            else:
                self._send(_OFFLINE_VOLTAGE if step == 3 else _OFFLINE_CURRENT)
        if clock.ticks_diff(now, self._telemetry_due) >= 0:
            self._telemetry_due = clock.following(self._telemetry_due, _TELEMETRY_MS)
            self._telemetry_frame[1] = _TELEMETRY[self._telemetry_step]
            self._telemetry_step = (self._telemetry_step + 1) % len(_TELEMETRY)
            self._can.send(_ID_TELEMETRY, self._telemetry_frame)

    def _send(self, frame):
        self._can.send(_ID_CONTROL, frame)

    def _send_off(self):
        self._can.send(_ID_CONTROL, _ZERO_CURRENT, FLAG_EXT | FLAG_URGENT)
        self._can.send(_ID_CONTROL, _OUTPUT_OFF, FLAG_EXT | FLAG_URGENT)
        self._off_due = self._clock.ticks_add(self._clock.ticks_ms(), _OFF_MS)

    # -- answers

    def feed(self, can_id, flags, data):
        """Offer one frame of the module's bus; True if it was ours and valid. Invalid ones change nothing."""
        if not flags & FLAG_EXT:
            return False
        sound = not flags & FLAG_RTR and len(data) == 8
        if can_id == _ID_TERMINAL_POWER:
            sound = sound and self._take_power(data)
        elif can_id == _ID_TERMINAL_STATUS:
            sound = sound and self._take_status(data)
        elif can_id == _ID_CONTROL_ANSWER:
            sound = sound and self._take_control(data)
        elif can_id == _ID_TELEMETRY_ANSWER:
            sound = sound and self._take_telemetry(data)
        elif can_id == _ID_HEARTBEAT:
            if sound:  # the sense of its bit 3 is disputed, so its content decides nothing
                self.values.put(_HEARTBEAT, True)
        else:
            return False
        if not sound:
            self.bad_frames += 1
        return sound

    def _take_power(self, data):
        mv = float_milli(data, 0)
        ma = float_milli(data, 4)
        if mv is None or ma is None or not (0 <= mv <= 150_000 and -5_000 <= ma <= 400_000):
            return False
        self.values.put(_MV, mv)
        self.values.put(_MA, ma)
        if self.on_power:
            self.on_power(mv, ma)
        return True

    def _take_status(self, data):
        self.values.put(_STATUS, data[7] if data[6] == 3 and data[7] <= 2 else 0)
        self._keep(0x4700, data)
        return True

    def _take_control(self, data):
        function = data[1]
        if function not in (_FN_OUTPUT, _FN_VOLTAGE, _FN_CURRENT, _FN_OFFLINE_VOLTAGE, _FN_OFFLINE_CURRENT):
            self._keep(0x8100 | function, data)
            return False
        if data[0] & 0xF0:  # 0x21 "refused" in the Huawei family: not acknowledged, so the echo gets no younger
            self.refused += 1
            return True
        if function == _FN_OUTPUT:
            self.values.put(_ECHO_ON, data[3] == 0)
            return True
        raw = _word(data)
        if function == _FN_VOLTAGE:
            self.values.put(_ECHO_MV, _volts(raw))
        elif function == _FN_OFFLINE_VOLTAGE:
            self.values.put(_GUARD_MV, raw == 0xC000)
        elif function == _FN_OFFLINE_CURRENT:
            self.values.put(_GUARD_MA, raw == 0)
        else:
            self.values.put(_ECHO_MA, None if raw is None else (raw * 10_000 + self._scale // 2) // self._scale)
        return True

    def _take_telemetry(self, data):
        """Temperature: Q10 over bytes 4-7. The older reading, 1/1000 over bytes 6-7, gives the same within 2.4 % where
        both exist. A value where they cannot both be alive (0, the saturated 16-bit value, above 125 degC) is a sensor
        fault.
        """
        function = data[1]
        if function == _FN_MODULE_VOLTAGE:
            self.values.put(_MODULE_MV, _volts(_word(data)))
        elif function == _FN_TEMPERATURE:
            raw = _word(data)
            self._temperature_bad = not raw or raw == _TEMPERATURE_SATURATED or raw > _TEMPERATURE_LIMIT
            self.values.put(_TEMPERATURE, None if self._temperature_bad else (raw * 10 + 512) >> 10)
        else:
            self._keep(0x8200 | function, data)
        return function in _TELEMETRY  # 0x82 current: its scale is disputed, never used; 0x79, 0x83: unknown

    def _keep(self, key, data):
        kept = self.raw.get(key)
        if kept is None:
            if len(self.raw) >= _RAW_KEPT:
                return
            kept = self.raw[key] = bytearray(8)
        for i in range(8):
            kept[i] = data[i]

    # -- questions

    def is_off(self):
        """True: the module has acknowledged "off" since the last "on", and fresh terminal current is below 0.5 A."""
        ma = self.values.get(_MA)
        return ma is not None and -_OFF_MA < ma < _OFF_MA and self.echo_on is False

    @property
    def echo_on(self):
        """Last acknowledged output command, None while unknown."""
        return self.values.get(_ECHO_ON)

    @property
    def echo_mv(self):
        """Last acknowledged voltage set-point, None while unknown."""
        return self.values.get(_ECHO_MV)

    @property
    def echo_ma(self):
        """Last acknowledged current set-point (steps of 33 mA), None while unknown."""
        return self.values.get(_ECHO_MA)

    def terminal_mv(self):
        """Voltage at the output terminals in mV, None while unknown."""
        return self.values.get(_MV)

    def terminal_ma(self):
        """Current at the output terminals in mA, None while unknown."""
        return self.values.get(_MA)

    def module_mv(self):
        """Voltage as the module's own telemetry has it, in mV, None while unknown. For display, not for metering."""
        return self.values.get(_MODULE_MV)

    def is_charging(self):
        """Terminal status: True charging, False not charging, None unknown."""
        status = self.values.get(_STATUS)
        return status == 2 if status else None

    def temperature_dc(self):
        """Module temperature in 0.1 degC, None while unknown. It is the charger's, not the battery's."""
        return self.values.get(_TEMPERATURE)

    def temperature_fault(self):
        """True: the last temperature answer cannot be true."""
        return self._temperature_bad

    def is_guarded(self):
        """The module holds our offline limits, or was not asked to."""
        return self._steps == 3 or self.values.get(_GUARD_MV) is self.values.get(_GUARD_MA) is True

    def is_healthy(self):
        """At least two of heartbeat, terminal power and terminal status are fresh."""
        values = self.values
        return (values.get(_HEARTBEAT) is None) + (values.get(_MV) is None) + (values.get(_STATUS) is None) < 2
