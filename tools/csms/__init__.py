"""Bench central system for OCPP 1.6J charge points: real websocket, real schemas, and misbehaviour on demand.

`async with BenchCsms() as csms` in tests, `python -m tools.csms` as a program; README.md has examples.
"""

from tools.csms.behaviour import (
    DROP,
    DROP_AFTER,
    RAW,
    SILENCE,
    TWICE,
    WRONG_ID,
    Answer,
    Call,
    CallError,
    Raw,
    Rule,
    Special,
)
from tools.csms.chargepoint import CallFailed, NotConnected
from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame, Transcript
from tools.csms.server import BenchCsms

__all__ = [
    "DROP",
    "DROP_AFTER",
    "FROM_CHARGER",
    "RAW",
    "SILENCE",
    "TO_CHARGER",
    "TWICE",
    "WRONG_ID",
    "Answer",
    "BenchCsms",
    "Call",
    "CallError",
    "CallFailed",
    "Frame",
    "NotConnected",
    "Raw",
    "Rule",
    "Special",
    "Transcript",
]
