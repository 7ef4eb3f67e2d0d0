"""How OCPP calls the faults. A cold module: see faults.Faults."""

# In the order of the numbers in faults.py: vendorErrorCode, errorCode (OCPP 1.6 edition 2, section 7.6)
_NAMES = """\
EmergencyStop OtherError
InputsLost OtherError
DoorOpen OtherError
ExternalFault OtherError
OffNotConfirmed PowerSwitchFailure
ContactorWelded PowerSwitchFailure
OutputOverVoltage OverVoltage
VehicleLimitExceeded OverCurrentFailure
OutputOverCurrent OverCurrentFailure
OverTemperature HighTemperature
TemperatureSensor InternalError
PowerModuleLost InternalError
StartFailed InternalError
Software InternalError
BmsBusDown InternalError
PlugLock ConnectorLockFailure"""


def describe(kind, info):
    """(errorCode, vendorErrorCode, info) of a fault's number."""
    vendor_code, code = _NAMES.split("\n")[kind].split(" ")
    return code, vendor_code, info
