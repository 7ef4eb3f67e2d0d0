"""Core profile. Source: OCPP 1.6 edition 2, sections 6 and 7; ranges of connectorId: sections 4 and 5."""

TABLE = """
Authorize.conf idTagInfo!:IdTagInfo
BootNotification.conf status!:RegistrationStatus currentTime!:dt interval!:int
DataTransfer.req vendorId!:s255 messageId:s50 data:s
DataTransfer.conf status!:DataTransferStatus data:any
Heartbeat.conf currentTime!:dt
MeterValues.conf -
StartTransaction.conf idTagInfo!:IdTagInfo transactionId!:int
StatusNotification.conf -
StopTransaction.conf idTagInfo:IdTagInfo
ChangeAvailability.req connectorId!:int0 type!:AvailabilityType
ChangeConfiguration.req key!:s50 value!:s500
ClearCache.req -
GetConfiguration.req key:s50[]
RemoteStartTransaction.req idTag!:s20 connectorId:int1 chargingProfile:smart_charging.ChargingProfile
RemoteStopTransaction.req transactionId!:int
Reset.req type!:ResetType
UnlockConnector.req connectorId!:int0
IdTagInfo status!:AuthorizationStatus expiryDate:dt parentIdTag:s20
AuthorizationStatus = Accepted Blocked Expired Invalid ConcurrentTx
AvailabilityType = Inoperative Operative
DataTransferStatus = Accepted Rejected UnknownMessageId UnknownVendorId
RegistrationStatus = Accepted Pending Rejected
ResetType = Hard Soft
"""
