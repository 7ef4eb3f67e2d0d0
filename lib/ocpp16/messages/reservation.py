"""Reservation profile. Source: OCPP 1.6 edition 2, section 6."""

TABLE = """
CancelReservation.req reservationId!:int
ReserveNow.req connectorId!:int0 expiryDate!:dt idTag!:s20 reservationId!:int parentIdTag:s20
"""
