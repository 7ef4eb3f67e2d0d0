"""Reservation keys. Source: OCPP 1.6 edition 2, section 9.3."""

ROWS = "ReserveConnectorZeroSupported R bool true"
