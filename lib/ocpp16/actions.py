"""The actions of OCPP 1.6, who sends them, and the profiles they belong to. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 6; security white paper for OCPP 1.6-J, section 5.
"""

UP = 1  # charge point to central system
DOWN = 2
BOTH = 3

# |profile|direction, and the actions with blanks around them. One text: a tuple of many takes twice the room.
_ACTIONS = (
    "|core|1 Authorize BootNotification Heartbeat MeterValues StartTransaction StatusNotification StopTransaction "
    "|core|2 ChangeAvailability ChangeConfiguration ClearCache GetConfiguration RemoteStartTransaction"
    " RemoteStopTransaction Reset UnlockConnector "
    "|core|3 DataTransfer "
    "|firmware|1 DiagnosticsStatusNotification FirmwareStatusNotification "
    "|firmware|2 GetDiagnostics UpdateFirmware "
    "|local_auth|2 GetLocalListVersion SendLocalList "
    "|reservation|2 CancelReservation ReserveNow "
    "|smart_charging|2 ClearChargingProfile GetCompositeSchedule SetChargingProfile "
    "|remote_trigger|2 TriggerMessage "
    "|security|1 LogStatusNotification SecurityEventNotification SignCertificate SignedFirmwareStatusNotification "
    "|security|2 CertificateSigned DeleteCertificate ExtendedTriggerMessage GetInstalledCertificateIds GetLog"
    " InstallCertificate SignedUpdateFirmware "
)


def known(action):
    """(profile, direction) of an action of OCPP 1.6 or the security white paper, or None.

    profile -- module name in messages/;  direction -- UP, DOWN or BOTH.
    """
    at = _ACTIONS.find(" " + action + " ")
    if at < 0 or not action.isalpha():
        return None
    bar = _ACTIONS.rfind("|", 0, at)
    return _ACTIONS[_ACTIONS.rfind("|", 0, bar) + 1 : bar], int(_ACTIONS[bar + 1])
