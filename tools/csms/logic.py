"""The normal answers of the bench central system, and what it remembers from each CALL. No sockets here."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tools.csms.behaviour import Call, CallError
from tools.csms.store import Store, json_object

VENDOR = "RivotMotors"


def utc_text(wall: float) -> str:
    """A time as OCPP writes it, e.g. "2026-01-21T09:52:30.125Z"."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class IdTag:
    """What the central system thinks of an id tag (OCPP 1.6 section 7.2, AuthorizationStatus)."""

    status: str = "Accepted"
    parent: str | None = None
    expiry: float | None = None  # Unix seconds

    def info(self) -> dict[str, Any]:
        """IdTagInfo; an Accepted tag past its expiry date is Expired."""
        expired = self.expiry is not None and self.expiry <= time.time() and self.status == "Accepted"
        info: dict[str, Any] = {"status": "Expired" if expired else self.status}
        if self.expiry is not None:
            info["expiryDate"] = utc_text(self.expiry)
        if self.parent is not None:
            info["parentIdTag"] = self.parent
        return info


@dataclass
class Registration:
    """How BootNotification is answered: Accepted, Pending or Rejected, with the interval in seconds."""

    status: str = "Accepted"
    interval: int = 300


class Logic:
    """Answers CALLs from tables that may be changed at any time. `clock_offset` (s) makes its clock wrong."""

    def __init__(self, store: Store, transaction_start: int = 1) -> None:
        self.store = store
        self.registration = Registration()
        self.registrations: dict[str, Registration] = {}
        self.id_tags: dict[str, IdTag] = {}
        self.unknown_tag = IdTag("Accepted")
        self.clock_offset = timedelta()
        self.transaction_ids: Iterator[int] = itertools.count(transaction_start)

    def tag(self, id_tag: str) -> IdTag:
        """Id tags are compared without case (OCPP 1.6 section 7.28)."""
        return self.id_tags.get(id_tag.casefold(), self.unknown_tag)

    def set_tag(self, id_tag: str, tag: IdTag) -> None:
        """Add or replace an id tag."""
        self.id_tags[id_tag.casefold()] = tag

    def registration_of(self, identity: str) -> Registration:
        """That of this charge point, else the general one."""
        return self.registrations.get(identity, self.registration)

    def answer(self, call: Call) -> dict[str, Any] | CallError:
        """The normal answer; changes nothing. Unknown actions are NotImplemented."""
        method = getattr(self, f"_{_snake(call.action)}", None)
        if method is None:
            return CallError("NotImplemented", f"{call.action} is not something a charge point sends")
        answer: dict[str, Any] = method(call.identity, call.payload)
        return answer

    def remember(self, call: Call, answer: dict[str, Any]) -> None:
        """Store what `call` told; `answer` is the payload it is answered with (or would have been)."""
        identity, payload, now = call.identity, call.payload, time.time()
        if call.action == "BootNotification":
            self.store.add(
                "boots",
                identity=identity,
                received=now,
                vendor=payload.get("chargePointVendor"),
                model=payload.get("chargePointModel"),
                serial_number=payload.get("chargePointSerialNumber"),
                firmware=payload.get("firmwareVersion"),
                answer=answer.get("status"),
            )
        elif call.action == "StatusNotification":
            self.store.add(
                "statuses",
                identity=identity,
                received=now,
                connector=payload.get("connectorId"),
                status=payload.get("status"),
                error_code=payload.get("errorCode"),
                vendor_error_code=payload.get("vendorErrorCode"),
                info=payload.get("info"),
                timestamp=payload.get("timestamp"),
            )
        elif call.action == "StartTransaction":
            if not isinstance(answer.get("transactionId"), int) or self.store.same_start(identity, payload):
                return
            self.store.add(
                "transactions",
                identity=identity,
                transaction_id=answer.get("transactionId"),
                connector=payload.get("connectorId"),
                id_tag=payload.get("idTag"),
                id_tag_status=answer.get("idTagInfo", {}).get("status"),
                meter_start=payload.get("meterStart"),
                start_timestamp=payload.get("timestamp"),
            )
        elif call.action == "StopTransaction":
            self.store.stop(identity, payload)
        elif call.action == "MeterValues":
            self.store.add_meter_values(identity, now, payload)
        elif call.action == "DataTransfer" and answer.get("status") == "Accepted":
            if payload.get("messageId") == "VehicleInfo":
                self.store.add_vehicle_info(identity, now, payload.get("data", ""))
            elif payload.get("messageId") == "SessionSummary":
                self.store.add_session_summary(identity, now, payload.get("data", ""))

    def _boot_notification(self, identity: str, _payload: dict[str, Any]) -> dict[str, Any]:
        registration = self.registration_of(identity)
        return {
            "status": registration.status,
            "currentTime": self._now(),
            "interval": registration.interval,
        }

    def _heartbeat(self, _identity: str, _payload: dict[str, Any]) -> dict[str, Any]:
        return {"currentTime": self._now()}

    def _authorize(self, _identity: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": self.tag(payload["idTag"]).info()}

    def _start_transaction(self, identity: str, payload: dict[str, Any]) -> dict[str, Any]:
        before = self.store.same_start(identity, payload)
        transaction_id = before["transaction_id"] if before else next(self.transaction_ids)
        return {"transactionId": transaction_id, "idTagInfo": self.tag(payload["idTag"]).info()}

    def _stop_transaction(self, _identity: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": self.tag(payload["idTag"]).info()} if "idTag" in payload else {}

    def _data_transfer(self, _identity: str, payload: dict[str, Any]) -> dict[str, Any]:
        if payload.get("vendorId") != VENDOR:
            return {"status": "UnknownVendorId"}
        if payload.get("messageId") not in ("VehicleInfo", "SessionSummary"):
            return {"status": "UnknownMessageId"}
        if json_object(payload.get("data")) is None:
            return {"status": "Rejected"}
        return {"status": "Accepted"}

    def _sign_certificate(self, _identity: str, _payload: dict[str, Any]) -> dict[str, Any]:
        return {"status": "Accepted"}

    def _nothing(self, _identity: str, _payload: dict[str, Any]) -> dict[str, Any]:
        return {}

    _status_notification = _nothing
    _meter_values = _nothing
    _diagnostics_status_notification = _nothing
    _firmware_status_notification = _nothing
    _log_status_notification = _nothing
    _security_event_notification = _nothing
    _signed_firmware_status_notification = _nothing

    def _now(self) -> str:
        return utc_text(time.time() + self.clock_offset.total_seconds())


def with_status(payload: dict[str, Any], status: str) -> dict[str, Any]:
    """`payload` with another status, where this message has its status."""
    if "idTagInfo" in payload:
        return payload | {"idTagInfo": payload["idTagInfo"] | {"status": status}}
    return payload | {"status": status}


def _snake(action: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).lstrip("_")
