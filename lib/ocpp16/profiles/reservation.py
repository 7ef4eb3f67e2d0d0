"""Reservation profile. Source: OCPP 1.6 edition 2, sections 5.2 and 5.13."""

from cold import cold


def on_ReserveNow(cp, payload):
    return {"status": cold("ocpp16.reservations").reserve(cp, payload)}


def on_CancelReservation(cp, payload):
    done = cold("ocpp16.reservations").cancel(cp, payload["reservationId"])
    return {"status": "Accepted" if done else "Rejected"}
