"""Payloads of the received messages, made from the JSON schemas of the PyPI package `ocpp`, whole and with one defect.

`oracle` is a schema with what the text of the specification adds; `expected` has the error codes for the defects that
jsonschema finds in a payload.
"""

from __future__ import annotations

import copy
import datetime
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ocpp
from jsonschema import Draft4Validator, FormatChecker, ValidationError, validators

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"
ACTIONS = sorted(path.stem for path in SCHEMAS.glob("*.json") if not path.stem.endswith("Response"))

# Sent by the charge point; all others by the central system, DataTransfer by both. OCPP 1.6 edition 2, chapters 4, 5.
UP = set(
    "Authorize BootNotification DataTransfer DiagnosticsStatusNotification FirmwareStatusNotification Heartbeat"
    " LogStatusNotification MeterValues SecurityEventNotification SignCertificate SignedFirmwareStatusNotification"
    " StartTransaction StatusNotification StopTransaction".split()
)
DOWN = (set(ACTIONS) - UP) | {"DataTransfer"}
RECEIVED = [(action, "req") for action in ACTIONS if action in DOWN] + [
    (action, "conf") for action in ACTIONS if action in UP
]

# Smallest values that the text of the specification has and the schemas have not, spelled again on purpose.
LEAST = {
    **dict.fromkeys(["connectorId", "stackLevel", "retries", "retryInterval", "duration", "startPeriod"], 0),
    "RemoteStartTransaction.connectorId": 1,
}
CODES = {
    "required": "OccurenceConstraintViolation",
    "minItems": "OccurenceConstraintViolation",
    "type": "TypeConstraintViolation",
    "enum": "PropertyConstraintViolation",
    "maxLength": "PropertyConstraintViolation",
    "multipleOf": "PropertyConstraintViolation",
    "minimum": "PropertyConstraintViolation",
    "maximum": "PropertyConstraintViolation",
    "format": "PropertyConstraintViolation",
    "additionalProperties": "FormationViolation",
}


def load(action: str, part: str) -> dict[str, Any]:
    name = action if part == "req" else f"{action}Response"
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8-sig"))
    return schema


def is_date_time(value: object) -> bool:
    try:
        return not isinstance(value, str) or (bool(datetime.datetime.fromisoformat(value)) and "T" in value)
    except ValueError:
        return False


def is_uri(value: object) -> bool:
    return not isinstance(value, str) or ":" in value


def check_tenths(_validator: Any, _step: float, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """multipleOf 0.1 without binary fractions (jsonschema refuses 7.3)."""
    if not isinstance(value, bool) and isinstance(value, int | float):
        exponent = Decimal(repr(value)).as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -1:
            yield ValidationError("more than one decimal", validator="multipleOf")


Validator: Any = validators.extend(Draft4Validator, {"multipleOf": check_tenths})  # type: ignore[no-untyped-call]


def oracle(action: str, part: str) -> Any:
    """A validator for the schema with what the text of the specification adds."""
    schema = load(action, part)
    if "definitions" in schema:
        schema = resolve(schema, schema["definitions"])
    sharpen(action, schema)
    formats = FormatChecker(formats=[])
    formats.checks("date-time")(is_date_time)
    formats.checks("uri")(is_uri)
    return Validator(schema, format_checker=formats)


def resolve(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [resolve(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return resolve(definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    return {
        name: resolve(value, definitions)
        for name, value in part.items()
        if name not in ("definitions", "$schema", "$id")
    }


def sharpen(action: str, schema: dict[str, Any]) -> None:
    for name, field in schema.get("properties", {}).items():
        if field["type"] == "integer":
            field["maximum"] = 2**53 - 1
            field["minimum"] = LEAST.get(f"{action}.{name}", LEAST.get(name, 1 - 2**53))
        elif field["type"] == "number":
            field["maximum"] = 2**53 // 10
            field["minimum"] = -field["maximum"]
        elif field["type"] == "array":
            if name == "chargingSchedulePeriod":
                field["minItems"] = 1
            sharpen(action, field["items"])
        elif field["type"] == "object":
            sharpen(action, field)


def make(schema: dict[str, Any], dice: random.Random) -> Any:
    """A value that fits the schema, from its smallest to its largest form."""
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        required = schema.get("required", [])
        return {
            name: make(field, dice)
            for name, field in schema.get("properties", {}).items()
            if name in required or dice.random() < 0.6
        }
    if kind == "array":
        return [make(schema["items"], dice) for _ in range(dice.randint(schema.get("minItems", 0), 3))]
    if kind == "integer":
        return dice.choice([max(1, schema["minimum"]), schema["minimum"], 7, 1784791914, schema["maximum"]])
    if kind == "number":
        return dice.choice([0, 16, 7.3, 0.1, 22000.5, -5.5, 1e3])
    if kind == "boolean":
        return dice.random() < 0.5
    if schema.get("format") == "date-time":
        return dice.choice(["2026-01-21T09:52:30Z", "2026-01-21T09:52:30.123456+05:30", "9999-12-31T23:59:59"])
    if schema.get("format") == "uri":
        return dice.choice(["https://h/p", "ftp://u:p@h:21/x y"])
    longest = schema.get("maxLength", 600)
    return dice.choice(["", "x", 'a"\\\n\u00e9😀', "é" * longest, "{" * longest])[:longest]


def places(value: Any, schema: dict[str, Any]) -> Iterator[tuple[Any, Any, dict[str, Any], dict[str, Any]]]:
    """Every (container, key, schema of the value, schema of the container) of an instance."""
    for name, field in schema.get("properties", {}).items() if isinstance(value, dict) else ():
        if name in value:
            yield value, name, field, schema
            yield from places(value[name], field)
    for i in range(len(value)) if isinstance(value, list) else ():
        yield value, i, schema["items"], schema
        yield from places(value[i], schema["items"])


OTHER: list[Any] = [None, True, False, 0, -1, 1, 10.0, 1.5, 0.25, 7.35, 2**53, -(10**30), "", "x", "1", "x" * 11000]
OTHER += [[], [1], {}, {"a": 1}, "Accepted ", "2026-02-30T00:00:00Z", "2026-01-21 10:00"]


def spoil(payload: dict[str, Any], schema: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Change one thing, which may or may not make it a bad payload."""
    found = list(places(payload, schema))
    objects = [payload, *(box[key] for box, key, _, _ in found if isinstance(box[key], dict))]
    way = dice.randrange(8)
    if way == 0 or not found:
        dice.choice(objects)[dice.choice(["x", "", "status", "idTag", "connectorID"])] = dice.choice(OTHER)
        return payload
    box, key, field, _ = dice.choice(found)
    if way == 1 and isinstance(box, dict):
        del box[key]
    elif way == 2 and "maxLength" in field:
        box[key] = "é" * (field["maxLength"] + dice.choice([0, 1]))
    elif way == 3 and "enum" in field:
        value = dice.choice(field["enum"])
        box[key] = dice.choice([value.lower(), value.upper(), value + " ", value[:-1], " ".join(field["enum"]), "="])
    else:
        box[key] = dice.choice(OTHER)
    return payload


def expected(validator: Any, payload: Any, part: str) -> set[str]:
    """Codes for the defects that jsonschema finds; for answers without those that we overlook."""
    codes = set()
    for error in validator.iter_errors(payload):
        if part == "conf":
            if error.validator in ("additionalProperties", "maxLength"):
                continue
            if error.instance is None and error.path[-1] not in parent(validator.schema, error.path).get(
                "required", []
            ):
                continue
        codes.add(CODES[error.validator])
    return codes


def parent(schema: dict[str, Any], path: Any) -> dict[str, Any]:
    for name in list(path)[:-1]:
        schema = schema["properties"][name]
    return schema


WRONG: list[Any] = [None, True, 7, -8, 1.25, 2**53, "x", "", "x" * 11000, "2026-02-30T00:00:00Z", [], [3], {}, {"x": 1}]


def defects(action: str, dice: random.Random) -> Iterator[tuple[Any, set[str]]]:
    """(payload, error codes that are right) of one action."""
    validator = oracle(action, "req")
    whole = max((make(validator.schema, dice) for _ in range(40)), key=lambda made: len(json.dumps(made)))
    found = list(places(whole, validator.schema))

    def tries() -> Iterator[Any]:
        for i in range(-1, len(found)):  # every object, the payload first, with a field too many
            spoiled = copy.deepcopy(whole)
            box = spoiled
            if i >= 0:
                box = value_at(spoiled, validator.schema, i)
            if isinstance(box, dict):
                box["unknownField"] = 1
                yield spoiled
        for i in range(len(found)):
            for value in ("absent", *WRONG):
                spoiled = copy.deepcopy(whole)
                box, key, _, _ = list(places(spoiled, validator.schema))[i]
                if value != "absent":
                    box[key] = value
                elif isinstance(box, dict):
                    del box[key]
                yield spoiled
        for _ in range(30):
            yield spoil(make(validator.schema, dice), validator.schema, dice)

    for payload in tries():
        codes = expected(validator, payload, "req")
        if codes:
            yield payload, codes


def value_at(payload: Any, schema: dict[str, Any], number: int) -> Any:
    box, key, _, _ = list(places(payload, schema))[number]
    return box[key]
