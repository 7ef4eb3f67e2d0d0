"""RemoteTrigger profile. Source: OCPP 1.6 edition 2, section 6.

connectorId 0 passes: it is legal for StatusNotification, and what else it means is the engine's to answer.
"""

TABLE = """
TriggerMessage.req requestedMessage!:MessageTrigger connectorId:int0
MessageTrigger = BootNotification DiagnosticsStatusNotification FirmwareStatusNotification Heartbeat MeterValues \
StatusNotification
"""
