"""SmartCharging keys. Source: OCPP 1.6 edition 2, section 9.4. The units are Current and Power here, not A and W.

TxDefaultAfterTxProfile is ours: true: where a TxProfile has run out before its transaction, a TxDefaultProfile counts
again. The specification leaves that open; a factory preset decides.
"""

ROWS = """\
ChargeProfileMaxStackLevel R int 8
ChargingScheduleAllowedChargingRateUnit R csl Current,Power Current|Power
ChargingScheduleMaxPeriods R int 24
ConnectorSwitch3to1PhaseSupported R bool false
MaxChargingProfilesInstalled R int 10
TxDefaultAfterTxProfile R bool true
"""
