"""OCPP 1.6J charge point for MicroPython. See README.md.

`from ocpp16 import ChargePoint` gives the charge point; `ocpp16.dial.Access` connects it, and
`ocpp16.journal_store` keeps what must survive. Nothing here knows any hardware.
"""

from .chargepoint import ChargePoint

__all__ = ("ChargePoint",)
