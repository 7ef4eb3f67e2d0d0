"""SmartCharging profile. Source: OCPP 1.6 edition 2, sections 6 and 7.

A schedule needs a period: section 7.13 says so, the JSON schemas do not.
"""

TABLE = """
ClearChargingProfile.req id:int connectorId:int0 chargingProfilePurpose:ChargingProfilePurposeType stackLevel:int0
GetCompositeSchedule.req connectorId!:int0 duration!:int0 chargingRateUnit:ChargingRateUnitType
SetChargingProfile.req connectorId!:int0 csChargingProfiles!:ChargingProfile
ChargingProfile chargingProfileId!:int stackLevel!:int0 chargingProfilePurpose!:ChargingProfilePurposeType \
chargingProfileKind!:ChargingProfileKindType chargingSchedule!:ChargingSchedule transactionId:int \
recurrencyKind:RecurrencyKindType validFrom:dt validTo:dt
ChargingSchedule chargingRateUnit!:ChargingRateUnitType chargingSchedulePeriod!:ChargingSchedulePeriod[1+] \
duration:int0 startSchedule:dt minChargingRate:num1
ChargingSchedulePeriod startPeriod!:int0 limit!:num1 numberPhases:int
ChargingProfileKindType = Absolute Recurring Relative
ChargingProfilePurposeType = ChargePointMaxProfile TxDefaultProfile TxProfile
ChargingRateUnitType = A W
RecurrencyKindType = Daily Weekly
"""
