"""The limits that a whole charge point gives its hardware, second by second, against the model of smart charging.

Random days with a central system: profiles come and go, sessions start (with and without a profile) and stop on up to
three connectors, the clock is set, the power is cut. All in process and under virtual time. What `permit` got last is
compared with what the rules say for that moment.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import Any

import pytest

from tests_host.conftest import ROOT, interpreter
from tests_host.ocpp.charging_model import PURPOSES, Model, check_pair, make_profile

LAG_MS = 110  # a connector is polled every 100 ms

# Reads one case on a line, answers with what its steps gave: [result, row, row, ...]: how it was right after the step,
# 200 ms later, and then as long as it is watched each second. A row is [uptime ms, Unix ms at uptime 0,
# [for each connector null or [start of its transaction, [mA, W]]]].
DEVICE = """
import asyncio, gc, json, sys
gc.threshold(gc.mem_free() // 16)  # as main.py: else what lives lies scattered, and a long line finds no room
from charging_bench import T0
from fakes import virtual_run
from scripted_csms import Bench
from ocpp16.ramstore import RamStore
from ocpp16.timestamp import format_utc

def bench_on(clock, case, store):
    keys = {"ChargingScheduleMaxPeriods": str(case["most"]), "MaxChargingProfilesInstalled": str(case["room"])}
    keys["TxDefaultAfterTxProfile"] = "true" if case["fall_back"] else "false"
    keys["MeterValueSampleInterval"] = "0"
    b = Bench(clock, store, len(case["hardware"]), keys, profiles=("core", "smart_charging"))

    def registered(payload):
        now = clock.utc() or T0 + clock.uptime_ms() // 1000
        return {"status": "Accepted", "currentTime": format_utc(now), "interval": 86400}

    b.csms.answers["BootNotification"] = registered
    for evse, limits in zip(b.evses, case["hardware"]):
        evse.is_plugged = True
        evse.limits = lambda limits=limits: limits
    b.start()
    return b

async def call(b, action, payload):
    uid = b.csms.call(action, payload)
    await b.until(lambda: b.csms.answer_to(uid) is not None)
    answer = b.csms.answer_to(uid)
    return answer["status"] if isinstance(answer, dict) else answer[0]

def row(b):
    clock, found = b.clock, []
    now = clock.uptime_ms()
    for c in b.cp.connectors:
        tx = c.transaction
        running = tx is not None and tx.reason is None
        assert running == c.evse.permitted, "%s at %d" % (running, now)
        found.append([tx.start_uptime, c.evse.given] if running else None)
    return [now, clock._utc_s * 1000 + clock._utc_ms - clock._utc_uptime, found]

async def run(clock, case):
    b = bench_on(clock, case, RamStore())
    await b.until(lambda: b.cp.online)
    out = []
    for step in case["steps"]:
        name, rest = step[0], step[1:]
        result = None
        if name == "put":
            result = await call(b, "SetChargingProfile", {"connectorId": rest[0], "csChargingProfiles": rest[1]})
        elif name == "clear":
            result = await call(b, "ClearChargingProfile", rest[0])
        elif name == "start":
            payload = {"idTag": "TAG%d" % rest[0], "connectorId": rest[0]}
            if rest[1] is not None:
                payload["chargingProfile"] = rest[1]
            result = await call(b, "RemoteStartTransaction", payload)
            if result == "Accepted":
                await b.until(lambda: b.cp.connectors[rest[0] - 1].evse.permitted)
        elif name == "stop" and b.cp.connectors[rest[0] - 1].transaction is not None:
            await call(b, "RemoteStopTransaction", {"transactionId": b.cp.connectors[rest[0] - 1].transaction.id})
            await b.until(lambda: b.cp.connectors[rest[0] - 1].transaction is None)
        elif name == "clock":
            clock.set_utc(clock.utc() + rest[0])
        elif name == "reboot":
            await b.end()
            b = bench_on(clock, case, b.store)
            b.cp.restore()
            await b.until(lambda: b.cp.online)
        rows = [row(b)]
        await asyncio.sleep_ms(200)
        rows.append(row(b))
        for _ in range(rest[0] if name == "watch" else 0):
            await asyncio.sleep_ms(1000)
            rows.append(row(b))
        out.append([result] + rows)
    await b.end()
    return out

while True:
    line = sys.stdin.readline()
    if not line:
        break
    case = json.loads(line)
    print(json.dumps(virtual_run(lambda clock: run(clock, case))))
"""


def make_case(dice: random.Random) -> dict[str, Any]:
    connectors = dice.choice([1, 1, 2, 3])
    steps: list[list[Any]] = []
    running: set[int] = set()
    for _ in range(dice.randint(8, 14)):
        roll = dice.random()
        connector = dice.randint(1, connectors)
        if roll < 0.5:
            purpose = dice.choice(PURPOSES)
            if purpose == "ChargePointMaxProfile" or (purpose == "TxDefaultProfile" and dice.random() < 0.4):
                connector = 0
            steps.append(["put", connector, make_profile(dice, purpose)])
        elif roll < 0.58:
            steps.append(["clear", dice.choice([{"id": dice.randint(1, 9)}, {"stackLevel": dice.randint(0, 3)}])])
        elif roll < 0.85:
            if connector in running:
                running.remove(connector)
                steps.append(["stop", connector])
            else:
                running.add(connector)
                steps.append(["start", connector, make_profile(dice, "TxProfile") if dice.random() < 0.5 else None])
        elif roll < 0.9:
            running.clear()
            steps.append(["reboot"])
        else:
            steps.append(["clock", dice.randint(1, 150)])
        if running and dice.random() < 0.5:
            steps.append(["watch", dice.randint(1, 60)])
    steps.append(["watch", 120])
    return {
        "steps": steps,
        "hardware": [
            [90_000, 6600, dice.choice([72_000, 80_000, 76_543]), dice.choice([1, 500, 6000])]
            for _ in range(connectors)
        ],
        "fall_back": dice.random() < 0.7,
        "most": dice.choice([24, 4]),
        "room": dice.choice([10, 4]),
    }


def on_device(bits: int, cases: list[dict[str, Any]]) -> list[list[Any]]:
    done = subprocess.run(
        [str(interpreter(bits)), "-X", "heapsize=8m", "-c", DEVICE],
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'lib'}:{ROOT / 'tests_host' / 'unit'}:.frozen"},
        input="".join(json.dumps(case) + "\n" for case in cases),
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == len(cases), f"{done.stderr[-2000:]} after {len(lines)} cases"
    return [json.loads(line) for line in lines]


def check_row(model: Model, row: list[Any], seen: dict[str, int]) -> None:
    model.uptime, model.boot_ms, connectors = row
    assert {number for number, found in enumerate(connectors, 1) if found} == set(model.running)
    for number, found in enumerate(connectors, 1):
        if found is None:
            continue
        key, tx_id, _ = model.running[number]
        model.running[number] = key, tx_id, found[0]
        seen["pair"] += 1
        seen["limit"] += found[1] != [None, None]
        seen["pause"] += found[1] == [0, 0]
        try:
            check_pair(model, number, found[1])
        except AssertionError:
            model.uptime -= LAG_MS
            check_pair(model, number, found[1])
            model.uptime += LAG_MS
            seen["late"] += 1


def replay(case: dict[str, Any], results: list[Any], seen: dict[str, int]) -> None:
    model = Model(case)
    for step, (got, at, *rows) in zip(case["steps"], results, strict=True):
        name, rest = step[0], step[1:]
        model.uptime, model.boot_ms, _ = at
        if name == "put":
            assert got == model.put(rest[0], rest[1]), step
        elif name == "clear":
            assert got == model.clear(rest[0]), step
        elif name == "start":
            taken = model.begin(rest[0], 0, rest[1])
            if taken is False:
                del model.running[rest[0]]
            assert got == ("Rejected" if taken is False else "Accepted"), step
            seen["with a profile"] += taken is True
        elif name == "stop" and rest[0] in model.running:
            del model.running[rest[0]]
        elif name == "reboot":
            model.running.clear()
        model.purge()
        for row in rows:
            check_row(model, row, seen)


@pytest.mark.parametrize(("bits", "count"), [(64, 50), (32, 25)])
def test_applied_limit(bits: int, count: int) -> None:
    dice = random.Random(bits)
    cases = [make_case(dice) for _ in range(count)]
    seen = dict.fromkeys(("pair", "limit", "pause", "late", "with a profile"), 0)
    for number, (case, results) in enumerate(zip(cases, on_device(bits, cases), strict=True)):
        try:
            replay(case, results, seen)
        except AssertionError as exc:
            raise AssertionError(f"case {number}: {exc}\n{json.dumps(case)}") from exc
    assert seen["limit"] > 40 * count and seen["pause"] > count and seen["with a profile"] > count // 4, seen
    assert seen["late"] < seen["limit"] // 20, seen
