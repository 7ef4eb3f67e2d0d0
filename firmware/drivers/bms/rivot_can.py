"""Rivot vehicle BMS over CAN through the charging plug (250 kbit/s, 29-bit identifiers, big-endian).

Sources: the Elcon/TC charger convention (0x1806E5F4 limits, 0x18FF50E5 status, 5 s timeout), the public reference
firmware flashCharge for the Ah counters, the Daly CAN layout (0x18 data-id destination source) for the query.
Nothing is sent before the vehicle was heard: on an open plug no frame is acknowledged, and stale ones would leave at
plug-in.
"""

from fresh import Fresh
from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR

_ID_LIMITS = const(0x1806E5F4)
_ID_STATUS = const(0x18FF50E5)  # sent by us
_ID_CHARGE_REQUEST = const(0x160B0180)
_ID_CHARGE = const(0x160B8001)
_ID_DISCHARGE_REQUEST = const(0x160D0180)
_ID_DISCHARGE = const(0x160D8001)
_ID_PACK_REQUEST = const(0x18900140)  # Daly data id 0x90
_ID_PACK = const(0x18904001)
_ID_TEMPERATURE_REQUEST = const(0x18920140)  # Daly data id 0x92
_ID_TEMPERATURE = const(0x18924001)

_STATUS_MS = const(100)
_REQUEST_MS = const(2000)
_SECOND_MS = const(10)  # between the two requests
_QUIET_MS = const(10_000)  # BMS silent for so long: we fall silent too
_COMM_TIMEOUT_MS = const(5000)  # status bit 4
_VALUE_MS = const(10_000)  # answers come every 2 s; five lost ones are too many
_NOTHING = b"\x00\x00\x00\x00\x00\x00\x00\x00"

# Numbers of the values that have an age
_CHARGE = const(0)  # mAh
_DISCHARGE = const(1)
_SOC = const(2)  # 0.01 %
_PACK_MV = const(3)
_TEMPERATURE = const(4)

SOC_SOURCES = ("none", "ah_counters", "request_frame", "daly")


def capacity_class(max_ma):
    """Pack capacity in Ah that the reference assumes for a highest charge current: 30 (<= 30 A), 60 (<= 60 A), 90."""
    return 30 if max_ma <= 30_000 else 60 if max_ma <= 60_000 else 90


class RivotBms:
    """Limits, permission and state of charge of one vehicle (face: drivers/README.md). Owns no task.

    soc_source -- where SoC comes from, one of SOC_SOURCES (else ValueError); no other frame is looked at for it
    capacity_ah -- pack capacity for "ah_counters"; 0: the class of the first stable current limit
    mode_byte -- byte 5 of the limits frame is a mode (1 heating); never with "request_frame", which has SoC there
    timeout_ms -- limits and permission older than this are void
    """

    def __init__(self, can, clock, soc_source="ah_counters", capacity_ah=0, mode_byte=True, timeout_ms=3000):
        if soc_source not in SOC_SOURCES:
            raise ValueError("soc_source")
        self.bad_frames = 0
        self._can = can
        self._clock = clock
        self._source = soc_source
        self._capacity_setting = capacity_ah
        self._mode_byte = mode_byte and soc_source != "request_frame"
        self._timeout_ms = timeout_ms
        self._heard = None  # uptime of the last valid limits frame
        self._max_mv = self._max_ma = 0
        self._control = 1
        self._mode = 0
        self._values = Fresh(clock, _VALUE_MS, 5)
        self._candidate = self._class = None
        self._status = bytearray(8)
        self._flags = 0
        now = clock.ticks_ms()
        self._status_due = self._request_due = now
        self._second_due = None  # ticks when the second request leaves
        self._present = False  # heard within _QUIET_MS, as of the last tick

    # -- receiving

    def feed(self, can_id, flags, data):
        """Offer one frame of the vehicle's bus; True if it was ours and valid. Invalid ones change nothing."""
        if not flags & FLAG_EXT:
            return False
        sound = not flags & FLAG_RTR
        size = len(data)
        if can_id == _ID_LIMITS:
            if sound and size == 8:
                self._take_limits(data)
                return True
        elif self._source == "ah_counters" and (can_id == _ID_CHARGE or can_id == _ID_DISCHARGE):
            if sound and size >= 4:
                # Bytes 0-3: lifetime counter in mAh, all ones: not available
                high, low = data[0] << 8 | data[1], data[2] << 8 | data[3]
                self._values.put(
                    _CHARGE if can_id == _ID_CHARGE else _DISCHARGE, None if high & low == 0xFFFF else high << 16 | low
                )
                return True
        elif self._source == "daly" and can_id == _ID_PACK:
            if sound and size == 8:
                # Bytes 0-1 pack voltage 0.1 V, 6-7 SoC 0.1 %. A sleeping Daly answers 0 V and 0 %: no values
                decivolt = data[0] << 8 | data[1]
                self._values.put(_PACK_MV, None if decivolt in (0, 0xFFFF) else decivolt * 100)
                self._take_soc((data[6] << 8 | data[7]) if decivolt else 0xFFFF)
                return True
        elif self._source == "daly" and can_id == _ID_TEMPERATURE:
            if sound and size == 8:
                # Byte 0 highest cell temperature + 40 degC. 0 is what a sleeping Daly says
                self._values.put(_TEMPERATURE, (data[0] - 40) * 10 if 0 < data[0] <= 165 else None)
                return True
        else:
            return False
        self.bad_frames += 1
        return False

    def _take_limits(self, data):
        """Bytes 0-1 highest voltage, 2-3 highest current (0.1; 0xFFFF: not available), 4 control, 5-7 disputed."""
        now = self._clock.ticks_ms()
        if not self._present:  # first word of this vehicle: ask it at the next tick
            self._status_due = self._request_due = now
        self._heard = self._clock.uptime_ms()
        mv = (data[0] << 8 | data[1]) * 100
        ma = (data[2] << 8 | data[3]) * 100
        self._max_mv = mv if mv != 6_553_500 else 0
        self._max_ma = ma if ma != 6_553_500 else 0
        self._control = data[4]
        self._mode = data[5]
        if not self.heating:  # a cold pack asks for little: that says nothing about its size
            size = capacity_class(self._max_ma) if self._max_ma else None
            if self._class is None and size == self._candidate:
                self._class = size
            self._candidate = size
        if self._source == "request_frame":
            self._take_soc(data[5] << 8 | data[6])

    def _take_soc(self, per_mille):
        self._values.put(_SOC, per_mille * 10 if per_mille <= 1000 else None)  # 0xFFFF too: not available

    # -- sending

    def report(self, out_mv, out_ma, hardware_failure, over_temperature, no_battery):
        """What the next status frames say. Values round to 0.1 V and 0.1 A and are clamped to 16 bits."""
        status = self._status
        volts = min(max(out_mv + 50, 0) // 100, 0xFFFF)
        amps = min(max(out_ma + 50, 0) // 100, 0xFFFF)
        status[0] = volts >> 8
        status[1] = volts & 255
        status[2] = amps >> 8
        status[3] = amps & 255
        self._flags = (1 if hardware_failure else 0) | (2 if over_temperature else 0) | (8 if no_battery else 0)

    def tick(self):
        """Send the status frame and the requests that are due; call it every 50 ms or more often."""
        silent = self.silent_ms()
        self._present = silent is not None and silent <= _QUIET_MS
        if not self._present:
            return
        clock = self._clock
        now = clock.ticks_ms()
        if clock.ticks_diff(now, self._status_due) >= 0:
            self._status_due = clock.following(self._status_due, _STATUS_MS)
            self._status[4] = self._flags | (16 if silent > _COMM_TIMEOUT_MS else 0)
            self._can.send(_ID_STATUS, self._status)
        counters = self._source == "ah_counters"
        if not counters and self._source != "daly":
            return
        if self._second_due is not None and clock.ticks_diff(now, self._second_due) >= 0:
            self._second_due = None
            self._can.send(_ID_DISCHARGE_REQUEST if counters else _ID_TEMPERATURE_REQUEST, _NOTHING)
        if clock.ticks_diff(now, self._request_due) >= 0:
            self._request_due = clock.following(self._request_due, _REQUEST_MS)
            self._second_due = clock.ticks_add(now, _SECOND_MS)
            self._can.send(_ID_CHARGE_REQUEST if counters else _ID_PACK_REQUEST, _NOTHING)

    def new_vehicle(self):
        """Forget what belongs to one plug-in: counters, SoC, class, answers. Call on plug-in before use and on unplug.

        Limits and permission stay: the limits frame is what announced this vehicle, and it expires by itself.
        """
        for which in range(5):
            self._values.put(which, None)
        self._candidate = self._class = None
        self._request_due = self._clock.ticks_ms()
        self._second_due = None

    # -- questions

    def silent_ms(self):
        """ms since the last valid limits frame; None: never heard."""
        return None if self._heard is None else self._clock.uptime_ms() - self._heard

    def is_alive(self):
        """True: the last valid limits frame is younger than timeout_ms."""
        return self._heard is not None and self._clock.uptime_ms() - self._heard < self._timeout_ms

    def permits(self):
        """True: alive, and the vehicle allows charging (control byte 0, nothing else)."""
        return self.is_alive() and self._control == 0

    @property
    def max_mv(self):
        """Highest voltage the vehicle allows, mV; 0 when not alive or not available."""
        return self._max_mv if self.is_alive() else 0

    @property
    def max_ma(self):
        """Highest current the vehicle allows, mA; 0 when not alive or not available."""
        return self._max_ma if self.is_alive() else 0

    @property
    def heating(self):
        """True: alive, and the mode byte says that the pack is being heated."""
        return bool(self._mode_byte) and self._mode == 1 and self.is_alive()

    @property
    def capacity_ah(self):
        """Pack capacity in Ah: the setting, or the latched class; None while unknown."""
        return self._capacity_setting or self._class

    @property
    def soc(self):
        """State of charge in 0.01 %, None while unknown. With "ah_counters": (charged - discharged) / capacity."""
        values = self._values
        if self._source != "ah_counters":
            return values.get(_SOC) if self._source == "daly" or self.is_alive() else None
        capacity, charged, discharged = self.capacity_ah, values.get(_CHARGE), values.get(_DISCHARGE)
        if not capacity or not charged or discharged is None:
            return None  # a charge counter of 0 is a BMS that does not count
        stored = min(max(charged - discharged, 0), capacity * 1000)
        return (stored * 10 + capacity // 2) // capacity

    @property
    def pack_mv(self):
        """Measured pack voltage in mV ("daly" only), None while unknown."""
        return self._values.get(_PACK_MV)

    @property
    def temperature_dc(self):
        """Highest cell temperature in 0.1 degC ("daly" only), None while unknown."""
        return self._values.get(_TEMPERATURE)
