"""The configuration keys: which ones a charge point has. The notation: see config_rows.

Source: OCPP 1.6 edition 2, chapter 9, with its errata (MessageTimeout, StopTransactionMaxMeterValues); of the security
keys the security white paper for OCPP 1.6-J (edition 3), section 5. A key whose function is missing must not be there.
The defaults and
ranges of values that the specification leaves open are choices of this library. Intervals end at 5 days: in ms that is
the longest span that the 30-bit tick counter of MicroPython can wait for.
"""

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

# Deciding about a tag without the central system. MaxEnergyOnInvalidId in Wh.
OFFLINE_ROWS = """\
AllowOfflineTxForUnknownId RW bool false
LocalAuthorizeOffline RW bool true
LocalPreAuthorize RW bool false
MaxEnergyOnInvalidId RW int 0 0..
"""
CACHE_ROWS = "AuthorizationCacheEnabled RW bool true"
# Meter values on the clock grid; 0 is off.
ALIGNED_ROWS = """\
MeterValuesAlignedDataMaxLength R int 8
ClockAlignedDataInterval RW int 0 0..86400
MeterValuesAlignedData RW csl Energy.Active.Import.Register =MeterValuesSampledData
"""
# Meter values inside StopTransaction.
STOP_DATA_ROWS = """\
StopTransactionMaxMeterValues R int 20
StopTxnAlignedDataMaxLength R int 8
StopTxnSampledDataMaxLength R int 8
StopTxnAlignedData RW csl - =MeterValuesSampledData
StopTxnSampledData RW csl - =MeterValuesSampledData
"""
RESET_ROWS = "ResetRetries RW int 2 0..100"
# A cable that can be unplugged at the charger and is locked there. These stand before the core rows, whose fixed
# cable they replace: the first row of a name counts.
SOCKET_ROWS = """\
StopTransactionOnEVSideDisconnect RW bool true
UnlockConnectorOnEVSideDisconnect RW bool true
"""
# Module in profiles/, name of the feature profile, its keys. Lengths of lists in entries. The units of smart charging
# are Current and Power here, not A and W; TxDefaultAfterTxProfile is ours: true: where a TxProfile has run out before
# its transaction, a TxDefaultProfile counts again. The specification leaves that open; a factory preset decides.
OF_PROFILES = (
    ("core", "Core", ""),
    (
        "firmware",
        "FirmwareManagement",
        "SupportedFileTransferProtocols R csl FTP,HTTP,HTTPS FTP|HTTP|HTTPS",
    ),
    (
        "local_auth",
        "LocalAuthListManagement",
        """\
LocalAuthListMaxLength R int 100
SendLocalListMaxLength R int 20
LocalAuthListEnabled RW bool true
""",
    ),
    ("reservation", "Reservation", "ReserveConnectorZeroSupported R bool true"),
    (
        "smart_charging",
        "SmartCharging",
        """\
ChargeProfileMaxStackLevel R int 8
ChargingScheduleAllowedChargingRateUnit R csl Current,Power Current|Power
ChargingScheduleMaxPeriods R int 24
ConnectorSwitch3to1PhaseSupported R bool false
MaxChargingProfilesInstalled R int 10 1..32
TxDefaultAfterTxProfile R bool true
""",
    ),
    ("remote_trigger", "RemoteTrigger", ""),
)


def all_rows(cp, evses, more):
    """Rows of a charge point: what its store, its evses, its hooks and its profiles are able to, and `more` texts."""
    rows = [SOCKET_ROWS] if [evse for evse in evses if getattr(evse, "has_lock", False)] else []
    rows += core_rows(len(evses), cp.profiles)
    rows += (OFFLINE_ROWS, ALIGNED_ROWS, STOP_DATA_ROWS)
    if cp.store.folder is not None:
        rows.append(CACHE_ROWS)
    if hasattr(cp.hooks, "reset"):
        rows.append(RESET_ROWS)
    return tuple(rows) + tuple(more)


def core_rows(connectors, profiles, measurands=MEASURANDS + _MORE):
    """Rows for Configuration: the Core keys that every charge point has, and those of each profile that is built in.

    connectors -- number of connectors, without connector 0
    profiles   -- names of modules in profiles/; others may be among them
    measurands -- what the meter can give, each with its phase (`Voltage.L1`) where it has several; the default of
                  MeterValuesSampledData are those of MEASURANDS among them
    """
    names = []
    rows = [_CORE]
    for module, name, keys in OF_PROFILES:
        if module in profiles:
            names.append(name)
            rows.append(keys)
    rows.append(
        "NumberOfConnectors R int %d\nSupportedFeatureProfiles R csl %s\nMeterValuesSampledData RW csl %s %s"
        % (
            connectors,
            ",".join(names) or "-",
            ",".join([name for name in MEASURANDS if name in measurands]) or "-",
            "|".join(measurands) or "|",
        )
    )
    return tuple(rows)
