"""The actions of OCPP 1.6, who sends them, and the profiles they belong to. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 6; security white paper for OCPP 1.6-J, section 5.
"""

from micropython import const

UP = const(1)  # charge point to central system
DOWN = const(2)
BOTH = const(3)

_ACTIONS = (  # profile, actions, their direction
    (
        "core",
        " Authorize BootNotification Heartbeat MeterValues StartTransaction StatusNotification StopTransaction ",
        UP,
    ),
    (
        "core",
        " ChangeAvailability ChangeConfiguration ClearCache GetConfiguration RemoteStartTransaction"
        " RemoteStopTransaction Reset UnlockConnector ",
        DOWN,
    ),
    ("core", " DataTransfer ", BOTH),
    ("firmware", " DiagnosticsStatusNotification FirmwareStatusNotification ", UP),
    ("firmware", " GetDiagnostics UpdateFirmware ", DOWN),
    ("local_auth", " GetLocalListVersion SendLocalList ", DOWN),
    ("reservation", " CancelReservation ReserveNow ", DOWN),
    ("smart_charging", " ClearChargingProfile GetCompositeSchedule SetChargingProfile ", DOWN),
    ("remote_trigger", " TriggerMessage ", DOWN),
    (
        "security",
        " LogStatusNotification SecurityEventNotification SignCertificate SignedFirmwareStatusNotification ",
        UP,
    ),
    (
        "security",
        " CertificateSigned DeleteCertificate ExtendedTriggerMessage GetInstalledCertificateIds GetLog"
        " InstallCertificate SignedUpdateFirmware ",
        DOWN,
    ),
)


def known(action):
    """(profile, direction) of an action of OCPP 1.6 or the security white paper, or None.

    profile -- module name in messages/;  direction -- UP, DOWN or BOTH.
    """
    for profile, actions, direction in _ACTIONS:
        if " " not in action and " " + action + " " in actions:
            return profile, direction
    return None
