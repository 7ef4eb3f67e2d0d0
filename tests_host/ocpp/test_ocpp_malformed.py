"""CALLs with a defect, for every action, to a whole charge point in the middle of a session: the exact error code comes
back, it is counted and logged, and nothing else has changed.

The defects are made from the JSON schemas of the package `ocpp`: every field missing, of every wrong type, overlong,
out of range, no value of its enumeration; every object with a field too many; and random ones. Codes: OCPP-J 1.6,
section 4.2.3.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from typing import Any

import pytest

from tests_host.conftest import ROOT, interpreter
from tests_host.ocpp.payloads import ACTIONS, CODES, DOWN, UP, defects

# Feature profiles with the actions that the central system sends, spelled again on purpose.
SERVED = {
    "core": "ChangeAvailability ChangeConfiguration ClearCache DataTransfer GetConfiguration RemoteStartTransaction"
    " RemoteStopTransaction Reset UnlockConnector",
    "firmware": "GetDiagnostics UpdateFirmware",
    "local_auth": "GetLocalListVersion SendLocalList",
    "reservation": "CancelReservation ReserveNow",
    "smart_charging": "ClearChargingProfile GetCompositeSchedule SetChargingProfile",
    "remote_trigger": "TriggerMessage",
}
# Answers without an error to what a charge point leaves out: sections 5.10, 5.13 and 5.15 have a word for it.
ABSENT: dict[str, Any] = {
    "GetLocalListVersion": {"listVersion": -1},
    "ReserveNow": {"status": "Rejected"},
    "SendLocalList": {"status": "NotSupported"},
}

# First line: the profiles. Each further line is a message, as a JSON string; the answer to it is one line:
# [text of the answer or null, counters that grew, is everything else as before?, lines of the log].
DEVICE = """
import asyncio, json, sys
from scripted_csms import T0, Bench, rooms
from fakes import virtual_run
from ocpp16.timestamp import format_utc

profiles = tuple(json.loads(sys.stdin.readline()))

def attributes(thing, *without):
    return sorted([(name, str(value)) for name, value in thing.__dict__.items() if name not in without])

def state(b):
    cp, store = b.cp, b.store
    out = [b.evses[0].permitted, b.evses[0].switches, cp.registration, cp._after_answer]
    out += [cp.config.texts, cp.config.stored, store.values, store.records, store.dead, cp.outbox.tx_ids]
    out += [attributes(call) for call in cp.outbox.tail + cp.outbox.calls]
    for connector in cp.connectors:
        out.append(attributes(connector, "cp", "evse", "transaction"))
        if connector.transaction is not None:
            out.append(attributes(connector.transaction))
    out.append(attributes(cp, "counters", "log", "store", "connectors", "outbox", "config", "charging", "_poke"))
    if cp.charging is not None:
        out.append(attributes(cp.charging, "_cp"))
    return str(out)

def grown(before, after):
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}

async def main(clock):
    b = Bench(clock, connectors=2, profiles=profiles, config={"MeterValueSampleInterval": "3600"})
    await b.online_all()
    if "smart_charging" in profiles:
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]}
        profile = {"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
                   "chargingProfileKind": "Relative", "chargingSchedule": schedule}
        await accepted(b, "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": profile})
    if "reservation" in profiles:
        await accepted(b, "ReserveNow", {"connectorId": 2, "expiryDate": format_utc(T0 + 90000), "idTag": "R",
                                         "reservationId": 5})
    b.evse.is_plugged = True
    await accepted(b, "RemoteStartTransaction", {"idTag": "TAG1", "connectorId": 1})
    box = b.cp.outbox
    await b.until(lambda: "Charging" in b.csms.story() and not (box.tail or box.calls or b.store.pending()))
    link = b.csms  # never asked: a CALL concerns no pending answer
    take = rooms("ocpp16.inbound").take
    while True:
        line = sys.stdin.readline()
        if not line:
            break
        b.log.lines.clear()
        before, counted = state(b), dict(b.cp.counters)
        answer = take(b.cp, link, json.loads(line))
        if type(answer) is tuple:
            answer = rooms("ocpp16.served").answer(b.cp, *answer)
        if answer is not None and not isinstance(answer, str):
            answer = await answer
        after = state(b)
        print(json.dumps([answer, grown(counted, b.cp.counters), before == after, len(b.log.lines)]))
        b.cp.answered()
    await accepted(b, "RemoteStopTransaction", {"transactionId": 130})
    await b.until(lambda: "StopTransaction" in b.csms.story())

async def accepted(b, action, payload):
    uid = b.csms.call(action, payload)
    await b.until(lambda: b.csms.answer_to(uid) is not None)
    assert b.csms.answer_to(uid) == {"status": "Accepted"}, (action, b.csms.answer_to(uid))

async def online_all(self):
    self.start()
    await self.until(lambda: self.csms.story() == ["BootNotification", "Available", "Available"])

Bench.online_all = online_all
virtual_run(main)
"""


def ask(bits: int, profiles: list[str], messages: list[str]) -> list[Any]:
    """[answer text or None, counters that grew, nothing else changed?, new log lines] of each message."""
    done = subprocess.run(
        [str(interpreter(bits)), "-X", "heapsize=4m", "-c", DEVICE],
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'lib'}:{ROOT / 'tests_host' / 'unit'}:.frozen"},
        input="\n".join(json.dumps(line) for line in [profiles, *messages]) + "\n",
        capture_output=True,
        text=True,
        timeout=100,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    at = f"at {messages[len(answers)][:500]!r}" if len(answers) < len(messages) else ""
    assert done.returncode == 0 and len(answers) == len(messages), f"{done.stderr[-2000:]}{at}"
    return answers


BARE: list[Any] = [[], "x", 7, True, [{}], 1.5]  # no objects
NO_ID: list[Any] = [None, True, ["u"], {}]


def served_by(profiles: list[str]) -> set[str]:
    return set(" ".join(SERVED[name] for name in profiles).split())


def built() -> list[str]:
    """The profiles that the library has."""
    return [name for name in SERVED if (ROOT / "lib" / "ocpp16" / "profiles" / f"{name}.py").exists()]


def test_profiles_are_the_spelled_ones() -> None:
    assert set(" ".join(SERVED.values()).split()) <= DOWN
    assert {"core", "local_auth", "reservation", "smart_charging"} <= set(built())


@pytest.mark.parametrize(("bits", "profiles"), [(64, "all"), (32, "all"), (64, "core")])
def test_payloads(bits: int, profiles: str) -> None:
    """Every CALL of the central system with a payload that is wrong."""
    chosen = built() if profiles == "all" else ["core"]
    served = served_by(chosen)
    dice = random.Random(bits)
    cases = [(action, payload, codes) for action in sorted(DOWN) for payload, codes in defects(action, dice)]
    messages = [json.dumps([2, f"u{n}", action, payload]) for n, (action, payload, _) in enumerate(cases)]
    seen: Counter[str] = Counter()
    for n, (case, got) in enumerate(zip(cases, ask(bits, chosen, messages), strict=True)):
        action, payload, codes = case
        text, counted, unchanged, logged = got
        answer = json.loads(text)
        where = (action, str(payload)[:500], answer, counted)
        assert answer[1] == f"u{n}", where
        assert unchanged, where
        if action not in served and action in ABSENT:
            assert answer == [3, f"u{n}", ABSENT[action]] and not counted, where
            continue
        assert answer[0] == 4 and len(answer) == 5 and answer[4] == {}, where
        assert answer[2] in (codes if action in served else {"NotSupported"}), where
        assert 0 < len(answer[3]) <= 255 and counted == {"refused_calls": 1} and logged == 1, where
        seen[answer[2]] += 1
    # Enough of each, or the generator has lost its bite.
    least = 40 if profiles == "all" else 15
    assert all(seen[code] >= least for code in set(CODES.values())), seen
    assert seen["NotSupported"] >= 500


@pytest.mark.parametrize("bits", [64, 32])
def test_envelopes(bits: int) -> None:
    """What is around the payload: wrong lengths, types, ids; actions that nobody knows or only charge points send."""
    cases: list[tuple[Any, str | None, dict[str, int]]] = []
    malformed, refused = {"malformed": 1}, {"refused_calls": 1}
    for n, action in enumerate(ACTIONS):
        uid = f"u{n}"
        for payload in BARE:
            cases.append(([2, uid, action, payload], "FormationViolation", malformed))
        for message in ([2, uid, action], [2, uid, action, {}, {}], [2, uid], [2, uid, {}, action], [2, uid, None, {}]):
            cases.append((message, "FormationViolation", malformed))
        cases.append(([2, uid + "x" * 40, action, {}], "FormationViolation", malformed))
        for name in (action.lower(), action + " ", action + ".req", "X" + action, action + "Request", action * 40):
            cases.append(([2, uid, name, {}], "NotImplemented", refused))
        for kind in (0, 1, 5, -2, "2", 2.5, None, [2]):
            cases.append(([kind, uid, action, {}], None, malformed))
        for odd in NO_ID:
            cases.append(([2, odd, action, {}], None, malformed))
        if action in UP - DOWN:
            cases += [([2, uid, action, payload], "NotSupported", refused) for payload in ({}, {"x": 1})]
    for name in ("", " ", "NotifyEvent", "SetVariables", "é😀", "__class__", "on_Reset"):
        cases.append(([2, "u", name, {}], "NotImplemented", refused))
    texts = [json.dumps(message) for message, _, _ in cases]
    for text in (
        "",
        "x",
        "{}",
        "[]",
        "null",
        "[2",
        '[2,"u","Reset",{"type":"Soft"}',
        '[2,"u","Reset",{"type":"Soft"]}',
    ):
        cases.append((text, None, malformed))
        texts.append(text)
    texts.append(json.dumps([2, "u", "ChangeConfiguration", {"key": "HeartbeatInterval", "value": "77"}]))
    *answers, control = ask(bits, built(), texts)
    assert control == ['[3,"u",{"status":"Accepted"}]', {}, False, 0], "a change must be seen"
    for case, (text, counted, unchanged, _) in zip(cases, answers, strict=True):
        message, code, count = case
        assert unchanged and counted == count, (message, text, counted)
        if code is None:
            assert text is None, (message, text)
        else:
            answer = json.loads(text)
            assert answer[0] == 4 and answer[1] == message[1] and answer[2] == code and answer[4] == {}, (message, text)
