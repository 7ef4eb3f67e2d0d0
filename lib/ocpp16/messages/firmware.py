"""FirmwareManagement profile. Source: OCPP 1.6 edition 2, section 6."""

TABLE = """
DiagnosticsStatusNotification.conf -
FirmwareStatusNotification.conf -
GetDiagnostics.req location!:uri retries:int0 retryInterval:int0 startTime:dt stopTime:dt
UpdateFirmware.req location!:uri retrieveDate!:dt retries:int0 retryInterval:int0
"""
