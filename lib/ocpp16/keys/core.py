"""Core keys of functions that a charge point may not have: add a text when the function is there. Notation: see config.

Source: OCPP 1.6 edition 2, section 9.1, with errata.
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
StopTransactionMaxMeterValues R int 50
StopTxnAlignedDataMaxLength R int 8
StopTxnSampledDataMaxLength R int 8
StopTxnAlignedData RW csl - =MeterValuesSampledData
StopTxnSampledData RW csl - =MeterValuesSampledData
"""
RESET_ROWS = "ResetRetries RW int 2 0..100"
LIGHT_ROWS = """\
BlinkRepeat RW int 3 0..1000
LightIntensity RW int 100 0..100
"""
# A cable that can be unplugged at the charger and is locked there. These stand before the core rows, whose fixed
# cable they replace: the first row of a name counts.
SOCKET_ROWS = """\
StopTransactionOnEVSideDisconnect RW bool true
UnlockConnectorOnEVSideDisconnect RW bool true
"""
