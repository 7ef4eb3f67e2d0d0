"""Messages of the security white paper for OCPP 1.6-J (edition 3), section 5."""

TABLE = """
LogStatusNotification.conf -
SecurityEventNotification.conf -
SignCertificate.conf status!:GenericStatus
SignedFirmwareStatusNotification.conf -
CertificateSigned.req certificateChain!:s10000
DeleteCertificate.req certificateHashData!:CertificateHashData
ExtendedTriggerMessage.req requestedMessage!:MessageTrigger connectorId:int0
GetInstalledCertificateIds.req certificateType!:CertificateUse
GetLog.req logType!:Log requestId!:int log!:LogParameters retries:int0 retryInterval:int0
InstallCertificate.req certificateType!:CertificateUse certificate!:s5500
SignedUpdateFirmware.req requestId!:int firmware!:Firmware retries:int0 retryInterval:int0
CertificateHashData hashAlgorithm!:HashAlgorithm issuerNameHash!:s128 issuerKeyHash!:s128 serialNumber!:s40
Firmware location!:s512 retrieveDateTime!:dt signingCertificate!:s5500 signature!:s800 installDateTime:dt
LogParameters remoteLocation!:s512 oldestTimestamp:dt latestTimestamp:dt
CertificateUse = CentralSystemRootCertificate ManufacturerRootCertificate
GenericStatus = Accepted Rejected
HashAlgorithm = SHA256 SHA384 SHA512
Log = DiagnosticsLog SecurityLog
MessageTrigger = BootNotification LogStatusNotification FirmwareStatusNotification Heartbeat MeterValues \
SignChargePointCertificate StatusNotification
"""
