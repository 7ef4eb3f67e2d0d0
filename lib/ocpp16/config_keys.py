"""Configuration keys of the Core profile, and which keys a charge point has. The notation: see config.

Source: OCPP 1.6 edition 2, chapter 9, with its errata (MessageTimeout, StopTransactionMaxMeterValues). The defaults and
ranges of values that the specification leaves open are choices of this library. Intervals end at 5 days: in ms that is
the longest span that the 30-bit tick counter of MicroPython can wait for.
"""

from cold import cold

# What a direct-current charger measures, and sends by default, in this order; and what it can send as well.
MEASURANDS = ("Energy.Active.Import.Register", "Power.Active.Import", "SoC", "Voltage", "Current.Import")
_MORE = ("Current.Offered", "Power.Offered", "Temperature")

_CORE = """\
ConnectorPhaseRotationMaxLength R int 8
GetConfigurationMaxKeys R int 80
MeterValuesSampledDataMaxLength R int 8
StopTransactionOnEVSideDisconnect R bool true
UnlockConnectorOnEVSideDisconnect R bool false
AuthorizeRemoteTxRequests RW bool false
ConnectionTimeOut RW int 60 1..432000
ConnectorPhaseRotation RW csl 0.Unknown,1.Unknown phases
HeartbeatInterval RW int 300 1..432000
MessageTimeout RW int 60 1..3600
MeterValueSampleInterval RW int 10 0..432000
MinimumStatusDuration RW int 0 0..86400
StopTransactionOnInvalidId RW bool true
TransactionMessageAttempts RW int 3 1..100
TransactionMessageRetryInterval RW int 60 0..86400
WebSocketPingInterval RW int 30 0..432000
"""

_OF_PROFILES = (  # name of the feature profile, module in keys/
    ("FirmwareManagement", "firmware"),
    ("LocalAuthListManagement", "local_auth"),
    ("Reservation", "reservation"),
    ("SmartCharging", "smart_charging"),
)


def all_rows(cp, evses, more):
    """Rows of a charge point: what its store, its evses, its hooks and its profiles are able to, and `more` texts."""
    keys = cold("ocpp16.keys.core")
    rows = [keys.SOCKET_ROWS] if [evse for evse in evses if getattr(evse, "has_lock", False)] else []
    rows += core_rows(len(evses), [cold("ocpp16.profiles." + name) for name in cp.profiles])
    rows += (keys.OFFLINE_ROWS, keys.ALIGNED_ROWS, keys.STOP_DATA_ROWS)
    if cp.store.folder is not None:
        rows.append(keys.CACHE_ROWS)
    if hasattr(cp.hooks, "reset"):
        rows.append(keys.RESET_ROWS)
    return tuple(rows) + tuple(more)


def core_rows(connectors, profiles, measurands=MEASURANDS + _MORE):
    """Rows for Configuration: the Core keys that every charge point has, and those of each profile that is built in.

    connectors -- number of connectors, without connector 0
    profiles   -- objects with NAME, the name of a feature profile; others without NAME may be among them
    measurands -- what the meter can give, each with its phase (`Voltage.L1`) where it has several; the default of
                  MeterValuesSampledData are those of MEASURANDS among them
    A key whose function is missing must not be there. Keys of functions that a charge point may or may not have are in
    keys/core.py.
    """
    names = [profile.NAME for profile in profiles if hasattr(profile, "NAME")]
    rows = [
        "NumberOfConnectors R int %d\nSupportedFeatureProfiles R csl %s\nMeterValuesSampledData RW csl %s %s"
        % (
            connectors,
            ",".join(names) or "-",
            ",".join([name for name in MEASURANDS if name in measurands]) or "-",
            "|".join(measurands) or "|",
        ),
        _CORE,
    ]
    for name, module in _OF_PROFILES:
        if name in names:
            rows.append(cold("ocpp16.keys." + module).ROWS)
    return tuple(rows)
