"""Smart charging against a model that knows nothing but the rules and looks at every second.

Random days of profiles, transactions, clock steps and reboots run through the real code on MicroPython. (No step back:
what is over then is deleted at a moment that is left open.)
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import ocpp
import pytest
from jsonschema import Draft4Validator

from tests_host.conftest import ROOT, interpreter
from tests_host.ocpp.charging_model import DAY, PURPOSES, T0, Model, check_pair, make_profile, stamp

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"

# Reads one case on a line, answers with the list of what its steps gave.
DEVICE = """
import json, sys
from charging_bench import T0, Site
from cold import cold

def run(case):
    hardware = case["hardware"]
    def site_on(store, timed, clock=None):
        keys = {"ChargingScheduleMaxPeriods": str(case["most"]), "MaxChargingProfilesInstalled": str(case["room"])}
        return Site(len(hardware), store, timed, clock, case["fall_back"], hardware, **keys)
    site = site_on(None, True)
    out = []
    for step in case["steps"]:
        name, rest = step[0], step[1:]
        result = None
        if name == "advance":
            site.clock.advance(rest[0])
        elif name == "clock":
            site.clock.set_utc(site.clock.utc() + rest[0])
        elif name == "put":
            result = site.put(rest[0], rest[1])
        elif name == "clear":
            result = site.clear(**rest[0])
        elif name == "begin":
            row = None
            if rest[2] is not None:
                row = cold("ocpp16.profiles.smart_charging").start_profile(site, rest[2])
                result = row is not None
            site.begin(rest[0], row, rest[1])
        elif name == "end":
            site.end(rest[0])
        elif name == "ask":
            fields = {"connectorId": rest[0], "duration": rest[1]}
            if rest[2] is not None:
                fields["chargingRateUnit"] = rest[2]
            result = site.call("GetCompositeSchedule", **fields)
        elif name == "trace":
            result = []
            for _ in range(rest[0]):
                now = site.clock.uptime_ms()
                result.append([
                    None if c.transaction is None else site.charging.limit(c, now) for c in site.connectors
                ])
                site.clock.advance(1000)
        elif name == "reboot":
            utc, keys = site.clock.utc(), site.keys
            site = site_on(site.store, False)
            site.keys = keys
            if rest[0] is not None:
                site.clock.set_utc(utc + rest[0])
        out.append(result)
    return out

while True:
    line = sys.stdin.readline()
    if not line:
        break
    print(json.dumps(run(json.loads(line))))
"""


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


# -- random cases


def make_case(dice: random.Random) -> dict[str, Any]:
    connectors = dice.choice([1, 1, 2, 3])
    steps: list[list[Any]] = []
    running: set[int] = set()
    sent: list[tuple[int, dict[str, Any]]] = []
    tx_id = 100
    steps.append(["advance", dice.randint(0, 5000)])
    for _ in range(dice.randint(6, 16)):
        roll = dice.random()
        connector = dice.randint(1, connectors)
        if roll < 0.5:
            purpose = dice.choice(PURPOSES)
            if purpose == "ChargePointMaxProfile" or (purpose == "TxDefaultProfile" and dice.random() < 0.4):
                connector = 0
            elif purpose == "TxProfile" and running and dice.random() < 0.8:
                connector = dice.choice(sorted(running))
            if dice.random() < 0.05:
                connector = dice.randint(0, connectors + 1)
            profile = make_profile(dice, purpose)
            if purpose == "TxProfile" and dice.random() < 0.3:
                profile["transactionId"] = dice.randint(tx_id - 1, tx_id)
            if sent and dice.random() < 0.1:
                connector, profile = dice.choice(sent)  # says it again
            sent.append((connector, profile))
            steps.append(["put", connector, profile])
        elif roll < 0.6:
            fields: dict[str, Any] = {}
            if dice.random() < 0.4:
                fields["id"] = dice.randint(1, 9)
            if dice.random() < 0.5:
                fields["connectorId"] = dice.randint(0, connectors)
            if dice.random() < 0.5:
                fields["stackLevel"] = dice.randint(0, 3)
            if not fields or dice.random() < 0.3:
                fields["chargingProfilePurpose"] = dice.choice(PURPOSES)
            steps.append(["clear", fields])
        elif roll < 0.75:
            if connector in running:
                running.remove(connector)
                steps.append(["end", connector])
            else:
                running.add(connector)
                tx_id += 1
                with_start = None
                if dice.random() < 0.4:
                    with_start = make_profile(dice, "TxProfile")
                steps.append(["begin", connector, tx_id, with_start])
        elif roll < 0.8:
            running.clear()
            steps.append(["reboot", dice.randint(0, 100)])
        elif roll < 0.85:
            steps.append(["clock", dice.randint(1, 150)])
        else:
            steps.append(["advance", dice.randint(0, 200_000)])
        if dice.random() < 0.4:
            steps.append(["ask", dice.randint(0, connectors), dice.randint(1, 600), dice.choice([None, "A", "W"])])
        if running and dice.random() < 0.3:
            steps.append(["trace", dice.randint(1, 200)])
    steps += [["ask", n, 500, dice.choice(["A", "W"])] for n in range(connectors + 1)]
    steps.append(["trace", 300])
    return {
        "steps": steps,
        "hardware": [
            [
                dice.choice([90_000, 32_000]),
                dice.choice([3300, 6600]),
                dice.choice([72_000, 80_000, 76_543]),
                dice.choice([1, 500, 6000]),
            ]
            for _ in range(connectors)
        ],
        "fall_back": dice.random() < 0.7,
        "most": dice.choice([24, 5, 4]),
        "room": dice.choice([10, 10, 4]),
    }


# -- the comparison


def expand(periods: list[dict[str, Any]], duration: int) -> list[Fraction]:
    values: list[Fraction] = []
    for i, period in enumerate(periods):
        end = periods[i + 1]["startPeriod"] if i + 1 < len(periods) else duration
        values += [Fraction(str(period["limit"]))] * (end - period["startPeriod"])
    return values


def decimals(text: str) -> Any:
    """JSON with decimal fractions: the schema wants multiples of 0.1."""
    return json.loads(text, parse_float=Decimal)


CONF = Draft4Validator(decimals((SCHEMAS / "GetCompositeScheduleResponse.json").read_text(encoding="utf-8-sig")))


def check_composite(model: Model, answer: Any, connector: int, asked: int, unit: str | None) -> None:
    model.purge()
    unit = unit or "A"
    t = model.now()
    assert answer["status"] == "Accepted" and answer["connectorId"] == connector
    assert answer["scheduleStart"] == stamp(t)
    schedule = answer["chargingSchedule"]
    assert schedule["chargingRateUnit"] == unit
    periods, duration = schedule["chargingSchedulePeriod"], schedule["duration"]
    assert periods[0]["startPeriod"] == 0 and len(periods) <= model.case["most"]
    for a, b in itertools.pairwise(periods):
        assert a["startPeriod"] < b["startPeriod"] < duration and a["limit"] != b["limit"]
    values = expand(periods, duration)
    assert len(values) == duration <= asked
    volts = max(mv for _, _, mv, _ in model.case["hardware"]) / 1000
    exact = model.is_exact(connector, unit)
    slack = Fraction(1, 10) * (len(model.case["hardware"]) + (1 + int(volts) if unit == "W" else 2))
    for second, value in enumerate(values):
        want = model.expected(connector, t + second, t, unit)
        assert want - slack <= value <= want, (second, float(value), float(want))
        assert not exact or value == Fraction(want * 10 // 1, 10)
        assert (value * 10).denominator == 1
    if duration < asked:
        assert len(periods) == model.case["most"]
        next_value = model.expected(connector, t + duration, t, unit)
        assert abs(next_value - values[-1]) > 0, "cut without a reason"


def check_trace(model: Model, rows: list[list[Any]]) -> None:
    model.purge()
    for row in rows:
        for number, got in enumerate(row, 1):
            assert (got is None) == (number not in model.running)
            if got is None:
                continue
            check_pair(model, number, got)
        model.uptime += 1000


def replay(case: dict[str, Any], results: list[Any], seen: dict[str, int]) -> None:
    model = Model(case)
    for step, got in zip(case["steps"], results, strict=True):
        name, rest = step[0], step[1:]
        if name == "advance":
            model.uptime += rest[0]
        elif name == "clock":
            model.boot_ms = (model.now() + rest[0]) * 1000 - model.uptime
        elif name == "put":
            want = model.put(rest[0], rest[1])
            assert got == want, step
            seen[want] = seen.get(want, 0) + 1
        elif name == "clear":
            want = model.clear(rest[0])
            assert got == want, step
            seen[want] = seen.get(want, 0) + 1
        elif name == "begin":
            assert got == model.begin(*rest), step
        elif name == "end":
            del model.running[rest[0]]
        elif name == "ask":
            CONF.validate(decimals(json.dumps(got)))
            check_composite(model, got, *rest)
            seen["ask"] = seen.get("ask", 0) + 1
            if len(got["chargingSchedule"]["chargingSchedulePeriod"]) > 3:
                seen["long"] = seen.get("long", 0) + 1
            if got["chargingSchedule"]["duration"] < rest[1]:
                seen["cut"] = seen.get("cut", 0) + 1
        elif name == "trace":
            check_trace(model, got)
            seen["second"] = seen.get("second", 0) + len(got)
        elif name == "reboot":
            model = Model(case, (model.now() + rest[0]) * 1000, 0, model.profiles, {}, model.keys)


@pytest.mark.parametrize("bits", [64, 32])
def test_every_second(bits: int) -> None:
    dice = random.Random(bits)
    cases = [make_case(dice) for _ in range(120)]
    seen: dict[str, int] = {}
    for number, (case, results) in enumerate(zip(cases, on_device(bits, cases), strict=True)):
        try:
            replay(case, results, seen)
        except AssertionError as exc:
            raise AssertionError(f"case {number}: {exc}\n{json.dumps(case)}") from exc
    # Enough of each, or the generator has lost its bite.
    bounds = {"Accepted": 350, "Rejected": 100, "Unknown": 20, "ask": 500, "long": 80, "cut": 15, "second": 30_000}
    rare = {name: seen.get(name, 0) for name, least in bounds.items() if seen.get(name, 0) < least}
    assert not rare


@pytest.mark.parametrize("bits", [64, 32])
def test_without_a_clock_no_limit_is_exceeded(bits: int) -> None:
    """Whatever the time really is, the limit of a charge point that does not know it is not above the right one."""
    dice = random.Random(bits + 1)
    cases = []
    for _ in range(150):
        case = make_case(dice)
        case.update(fall_back=True, hardware=case["hardware"][:1], room=10)
        puts = [step for step in case["steps"] if step[0] == "put" and step[1] <= 1]
        start = make_profile(dice, "TxProfile") if dice.random() < 0.5 else None
        passed = dice.randint(0, 400) * 1000
        case["steps"] = [*puts, ["reboot", None], ["begin", 1, 5, start], ["advance", passed], ["trace", 1]]
        cases.append(case)
    limited = loose = 0
    for case, results in zip(cases, on_device(bits, cases), strict=True):
        model = Model(case)
        for step in case["steps"]:
            if step[0] == "put":
                model.put(step[1], step[2])
        amps, watts = results[-1][0][0]
        blind = {"A": amps and Fraction(amps, 1000), "W": watts}
        passed = case["steps"][-2][1]
        start = case["steps"][-3][3]
        for utc in [T0 + dice.randint(-2000, 2000) for _ in range(60)] + [T0 + dice.randint(0, 30) * DAY]:
            then = Model(case, utc * 1000 - passed, 0, list(model.profiles), {}, model.keys)
            then.begin(1, 5, start)
            then.uptime = passed
            for unit, limit in then.pair(1, utc).items():
                allowed = blind[unit]
                assert allowed is not None and allowed <= limit, (case, utc, unit)
                limited += 1
            loose += not then.pair(1, utc)
    assert limited > 3000 and loose > 100
