"""Frames of the two buses, encoded and decoded by cantools from rivot.dbc, apart from the firmware's decoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import can
import cantools
from cantools.database.can import Database, Message

_DBC = Path(__file__).with_name("rivot.dbc")


def _load() -> Database:
    database = cantools.database.load_file(_DBC, strict=True)
    assert isinstance(database, Database)
    return database


DATABASE = _load()

BMS_REQUEST = DATABASE.get_message_by_name("BMS_ChargeRequest")
CHARGER_STATUS = DATABASE.get_message_by_name("ChargerStatus")
CHARGE_AH_REQUEST = DATABASE.get_message_by_name("BMS_ChargeAhRequest")
CHARGE_AH_RESPONSE = DATABASE.get_message_by_name("BMS_ChargeAhResponse")
DISCHARGE_AH_REQUEST = DATABASE.get_message_by_name("BMS_DischargeAhRequest")
DISCHARGE_AH_RESPONSE = DATABASE.get_message_by_name("BMS_DischargeAhResponse")
SOC_REQUEST = DATABASE.get_message_by_name("BMS_SocRequest")
SOC_RESPONSE = DATABASE.get_message_by_name("BMS_SocResponse")
TEMPERATURE_REQUEST = DATABASE.get_message_by_name("BMS_TemperatureRequest")
TEMPERATURE_RESPONSE = DATABASE.get_message_by_name("BMS_TemperatureResponse")
CONTROL_REQUEST = DATABASE.get_message_by_name("PM_ControlRequest")
CONTROL_RESPONSE = DATABASE.get_message_by_name("PM_ControlResponse")
TELEMETRY_REQUEST = DATABASE.get_message_by_name("PM_TelemetryRequest")
TELEMETRY_RESPONSE = DATABASE.get_message_by_name("PM_TelemetryResponse")
TERMINAL_POWER = DATABASE.get_message_by_name("PM_TerminalPower")
TERMINAL_STATUS = DATABASE.get_message_by_name("PM_TerminalStatus")

FROM_BMS = (BMS_REQUEST, CHARGE_AH_RESPONSE, DISCHARGE_AH_RESPONSE, SOC_RESPONSE, TEMPERATURE_RESPONSE)
FROM_MODULE = (CONTROL_RESPONSE, TELEMETRY_RESPONSE, TERMINAL_POWER, TERMINAL_STATUS, CHARGER_STATUS)
KNOWN_IDS = frozenset(message.frame_id for message in DATABASE.messages)

Values = Mapping[str, int | float]


def encode(message: Message, values: Values) -> can.Message:
    """Return the frame that carries `values`, in the units of the DBC. Raises cantools' EncodeError out of range."""
    data = message.encode(dict(values), strict=True)
    return can.Message(arbitration_id=message.frame_id, is_extended_id=True, data=data)


def decode(message: Message, frame: can.Message) -> dict[str, int | float] | None:
    """Return the values of `message`, or None: other id, 11-bit id, remote frame, wrong length, unknown function."""
    if (
        frame.arbitration_id != message.frame_id
        or not frame.is_extended_id
        or frame.is_remote_frame
        or frame.dlc != message.length
    ):
        return None
    try:
        values = message.decode(bytes(frame.data), decode_choices=False)
    except cantools.database.errors.DecodeError:
        return None
    assert isinstance(values, dict)  # a container message would give a list
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}
