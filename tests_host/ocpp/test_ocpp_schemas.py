"""The message tables of lib/ocpp16 against the JSON schemas of the PyPI package `ocpp`: OCPP 1.6 and the white paper.

First the tables themselves are compared, field by field. Then payloads with one defect go through the real code on
MicroPython, and the error code that comes back must be the one for the defect that jsonschema finds.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import random
import subprocess
from typing import Any

import jsonschema
import pytest

from tests_host.conftest import ROOT, interpreter
from tests_host.ocpp.payloads import (
    ACTIONS,
    CODES,
    DOWN,
    RECEIVED,
    UP,
    Validator,
    expected,
    load,
    make,
    oracle,
    spoil,
)

# Reads messages (each a JSON string on a line), answers [error code or null, description]. The id of an answer to be
# checked is the name of its action.
DEVICE = """
import json, sys
from ocpp16 import rpc, schema
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        kind, uid, third, fourth, fifth = rpc.unpack(json.loads(line))
        if kind == rpc.CALL:
            schema.check_request(third, fourth)
        elif kind == rpc.CALLRESULT:
            schema.check_response(uid, third)
        answer = [None, ""]
    except rpc.Malformed as exc:
        answer = ["Malformed", exc.description]
    except rpc.OcppError as exc:
        answer = [exc.code, exc.description]
    print(json.dumps(answer))
"""


def ask(bits: int, messages: list[str]) -> list[tuple[str | None, str]]:
    """What MicroPython says to each message: (error code or None, description)."""
    done = subprocess.run(
        [str(interpreter(bits)), "-X", "heapsize=512k", "-c", DEVICE],
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'lib'}:.frozen"},
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        timeout=100,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    at = f"at message {messages[len(answers)][:500]!r}" if len(answers) < len(messages) else ""
    assert done.returncode == 0 and len(answers) == len(messages), f"{done.stderr[-2000:]}{at}"
    return [(code, description) for code, description in answers]


def as_message(action: str, part: str, payload: Any) -> str:
    return json.dumps([2, "7", action, payload] if part == "req" else [3, action, payload])


# -- the tables, field by field


@functools.cache
def table(profile: str) -> dict[str, str]:
    """Lines of a profile's table by name. The modules are nothing but a text, so CPython can import them."""
    spec = importlib.util.spec_from_file_location(profile, ROOT / "lib" / "ocpp16" / "messages" / f"{profile}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.TABLE
    assert text.startswith("\n") and text.endswith("\n") and "  " not in text
    lines = dict(line.split(" ", 1) for line in text.strip().split("\n"))
    assert len(lines) == text.strip().count("\n") + 1, f"{profile}: a name comes twice"
    return lines


def profiles() -> list[str]:
    return sorted(path.stem for path in (ROOT / "lib" / "ocpp16" / "messages").glob("*.py") if path.stem != "__init__")


def from_table(profile: str, kind: str) -> Any:
    """A kind of the table notation in a form that can be compared."""
    if kind.endswith("]"):
        item, _, least = kind.partition("[")
        return "array", least == "1+]", from_table(profile, item)
    if kind.rstrip("01") == "int":
        return ("integer",)
    if kind in ("num1", "bool", "dt", "uri", "any"):
        return (kind,)
    if kind[0] == "s" and (kind[1:].isdigit() or not kind[1:]):
        return "string", int(kind[1:] or 0)
    home, _, name = kind.rpartition(".")
    profile = home or profile
    content = table(profile)[name]
    if content.startswith("= "):
        values = content[2:].split()
        assert len(set(values)) == len(values)
        return "enum", frozenset(values)
    return from_fields(profile, content)


def from_fields(profile: str, content: str) -> Any:
    fields = {}
    for field in [] if content == "-" else content.split():
        name, kind = field.split(":")
        assert name.rstrip("!") not in fields
        fields[name.rstrip("!")] = (name.endswith("!"), from_table(profile, kind))
    return "object", fields


def from_schema(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """A JSON schema in the form of from_table. Fails on a keyword that it would leave out."""
    if "$ref" in schema:
        return from_schema(root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root)
    keywords = set(schema) - {
        "$schema",
        "$id",
        "id",
        "title",
        "definitions",
        "description",
        "comment",
        "javaType",
        "type",
    }
    if "enum" in schema:
        assert keywords <= {"enum", "additionalProperties"}, keywords
        return "enum", frozenset(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        assert keywords <= {"properties", "required", "additionalProperties"}, keywords
        assert schema["additionalProperties"] is False
        required = schema.get("required", [])
        fields = schema.get("properties", {})
        assert set(required) <= set(fields)
        return "object", {name: (name in required, from_schema(sub, root)) for name, sub in fields.items()}
    if kind == "array":
        assert keywords <= {"items", "minItems"}, keywords
        assert schema.get("minItems", 0) in (0, 1)
        return "array", schema.get("minItems") == 1, from_schema(schema["items"], root)
    if kind == "string":
        assert keywords <= {"maxLength", "format"}, keywords
        return (
            ({"date-time": "dt", "uri": "uri"}[schema["format"]],)
            if "format" in schema
            else (
                "string",
                schema.get("maxLength", 0),
            )
        )
    if kind == "number":
        assert keywords == {"multipleOf"} and schema["multipleOf"] == 0.1
        return ("num1",)
    assert not keywords, keywords
    return ({"integer": "integer", "boolean": "bool"}[kind],)


@pytest.mark.parametrize(("action", "part"), RECEIVED)
def test_table_is_the_schema(action: str, part: str) -> None:
    homes = [profile for profile in profiles() if f"{action}.{part}" in table(profile)]
    assert len(homes) == 1
    ours = from_fields(homes[0], table(homes[0])[f"{action}.{part}"])
    theirs = from_schema(load(action, part), load(action, part))
    if (action, part) == ("DataTransfer", "conf"):  # some servers answer with an object, and nobody reads it
        theirs[1]["data"] = (False, ("any",))
    assert ours == with_periods(theirs)


def with_periods(form: Any) -> Any:
    """Section 7.13 wants at least one period in a schedule; the schemas forgot it."""
    if isinstance(form, dict):
        return {
            name: (required, (sub[0], True, sub[2]) if name == "chargingSchedulePeriod" else with_periods(sub))
            for name, (required, sub) in form.items()
        }
    return tuple(with_periods(part) if isinstance(part, dict | tuple) else part for part in form)


def test_tables_hold_nothing_else() -> None:
    names = {name for profile in profiles() for name in table(profile) if "." in name}
    assert names == {f"{action}.{part}" for action, part in RECEIVED}
    assert len(ACTIONS) == 39
    for profile in profiles():
        used = " ".join(content for name in profiles() for content in table(name).values())
        for name in table(profile):
            assert "." in name or f":{name}" in used or f":{profile}.{name}" in used, f"{profile}.{name} is not used"


@pytest.mark.parametrize("bits", [64, 32])
def test_directions(bits: int) -> None:
    names = [*ACTIONS, *(action.lower() for action in ACTIONS), "RequestStartTransaction", "NotifyEvent"]
    for name, (code, _) in zip(names, ask(bits, [as_message(name, "req", {}) for name in names]), strict=True):
        if name not in ACTIONS:
            assert code == "NotImplemented", name
        elif name not in DOWN:
            assert code == "NotSupported", name
        else:
            assert code in (None, "OccurenceConstraintViolation"), name


# -- payloads with a defect, through the code


@pytest.mark.parametrize("bits", [64, 32])
def test_verdicts(bits: int) -> None:
    dice = random.Random(16)
    cases: list[tuple[str, str, Any, set[str]]] = []
    for action, part in RECEIVED:
        validator = oracle(action, part)
        if (action, part) == ("DataTransfer", "conf"):
            validator.schema["properties"]["data"] = {
                "type": ["string", "object", "array", "number", "boolean", "null"]
            }
            made = {"properties": {**validator.schema["properties"], "data": {"type": "string"}}, "type": "object"}
            made["required"] = validator.schema["required"]
        else:
            made = validator.schema
        for i in range(150):
            payload = make(made, dice)
            if i >= 30:
                payload = spoil(payload, made, dice)
            codes = expected(validator, payload, part)
            assert i >= 30 or not codes, (action, payload, codes)
            cases.append((action, part, payload, codes))
    # Enough of each kind, or the generator has lost its bite.
    for kind in set(CODES.values()):
        assert sum(kind in codes for _, _, _, codes in cases) > 50, kind
    assert sum(not codes for _, _, _, codes in cases) > 1000
    answers = ask(bits, [as_message(action, part, payload) for action, part, payload, _ in cases])
    for (action, part, payload, codes), (code, description) in zip(cases, answers, strict=True):
        assert code in codes if codes else code is None, (action, part, payload, description)
        assert code is None or description


@pytest.mark.parametrize("bits", [64, 32])
def test_spoiled_texts(bits: int) -> None:
    """Texts that are no longer JSON, or something else: an answer every time, and never a whole message from a part."""
    dice = random.Random(17)
    messages = []
    for action, part in RECEIVED:
        payload = make(oracle(action, part).schema, dice)
        text = as_message(action, part, payload)
        if len(text) > 3000:
            continue
        messages += [text[: dice.randrange(len(text))] for _ in range(10)]
        for _ in range(40):
            at = dice.randrange(len(text))
            insert = dice.choice(
                ['"', "\\", "[", "]", "{", "}", ",", ":", "null", "1e999", "\x00", "é", "\\ud83d", " "]
            )
            messages.append(text[:at] + insert + text[at + dice.randrange(2) :])
    codes = {None, "Malformed", "NotImplemented", "NotSupported", *CODES.values()}
    # In an answer, the id has to be the name of an action: what spoils it is not the code's business.
    messages = [text for text in messages if not text.startswith("[3") or is_known_answer(text)]
    assert len(messages) > 1400
    for text, (code, _) in zip(messages, ask(bits, messages), strict=True):
        assert code in codes
        try:
            json.loads(text)
        except ValueError:
            if not text.endswith("]"):
                assert code == "Malformed", text


def is_known_answer(text: str) -> bool:
    return any(text.startswith(f'[3, "{action}", ') for action in UP)


def test_jsonschema_agrees_with_the_oracle_on_tenths() -> None:
    """The replaced multipleOf must still refuse what the real one refuses for a good reason."""
    validator = Validator({"type": "number", "multipleOf": 0.1})
    for value in (7.35, 0.01, 16.05):
        assert not validator.is_valid(value)
        assert not jsonschema.Draft4Validator({"multipleOf": 0.1}).is_valid(value)
    for value in (7, 7.5, 7.3, -0.1):
        assert validator.is_valid(value)
