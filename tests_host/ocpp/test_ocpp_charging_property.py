"""Smart charging against a model that knows nothing but the rules and looks at every second.

Random days of profiles, transactions, clock steps and reboots run through the real code on MicroPython. (No step back:
what is over then is deleted at a moment that is left open.) The model works with
the profiles as they were sent, in exact fractions, and has neither change times nor a cache. Source of its rules:
OCPP 1.6 edition 2, sections 3.13, 5.5, 5.7, 5.16, 7.8, with errata.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import random
import subprocess
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import ocpp
import pytest
from jsonschema import Draft4Validator

from tests_host.conftest import ROOT, interpreter

T0 = 1_769_040_000
DAY = 86400
PURPOSES = ["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]
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


# -- the model


@dataclass
class Profile:
    connector: int
    sent: dict[str, Any]
    tx: int | None

    def __post_init__(self) -> None:
        self.ident: int = self.sent["chargingProfileId"]
        self.purpose: str = self.sent["chargingProfilePurpose"]
        self.level: int = self.sent["stackLevel"]
        self.kind: str = self.sent["chargingProfileKind"]
        schedule = self.sent["chargingSchedule"]
        self.unit: str = schedule["chargingRateUnit"]
        self.duration: int | None = schedule.get("duration")
        self.start = seconds(schedule.get("startSchedule"))
        self.valid_from = seconds(self.sent.get("validFrom"))
        self.valid_to = seconds(self.sent.get("validTo"))
        self.periods = [(p["startPeriod"], Fraction(str(p["limit"]))) for p in schedule["chargingSchedulePeriod"]]
        if self.kind == "Relative" or (self.kind == "Absolute" and self.start is None):
            self.kind, self.start = "Relative", None

    def value(self, t: int, began: int) -> Fraction | None:
        if self.valid_from is not None and t < self.valid_from:
            return None
        if self.valid_to is not None and t >= self.valid_to:
            return None
        base = began if self.start is None else self.start
        if self.kind == "Recurring":
            period = {"Daily": DAY, "Weekly": 7 * DAY}[self.sent["recurrencyKind"]]
            while base + period <= t:
                base += period
        if t < base or (self.duration is not None and t >= base + self.duration):
            return None
        return [limit for second, limit in self.periods if second <= t - base][-1]

    def never_again(self, t: int, began: int) -> bool:
        """For the switch: has it run out?"""
        if self.valid_to is not None and t >= self.valid_to:
            return True
        return (
            self.kind != "Recurring"
            and self.duration is not None
            and t >= (began if self.start is None else self.start) + self.duration
        )


@dataclass
class Model:
    case: dict[str, Any]
    boot_ms: int = T0 * 1000  # time of day at uptime 0
    uptime: int = 0  # ms
    profiles: list[Profile] = field(default_factory=list)
    running: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # connector: key, transactionId, start
    keys: int = 0

    def now(self) -> int:
        return (self.boot_ms + self.uptime) // 1000

    def purge(self) -> None:
        keys = [key for key, _, _ in self.running.values()]
        self.profiles = [p for p in self.profiles if p.purpose != "TxProfile" or p.tx in keys]
        self.profiles = [p for p in self.profiles if p.purpose == "TxProfile" or not self.is_over(p)]

    def is_over(self, p: Profile) -> bool:
        return p.never_again(self.now(), self.now())

    def add(self, new: Profile, promised: bool = False) -> bool:
        self.purge()
        kept = [
            p
            for p in self.profiles
            if p.ident != new.ident and (p.purpose, p.level, p.connector) != (new.purpose, new.level, new.connector)
        ]
        if len(kept) == len(self.profiles) >= self.case["room"] and not promised:
            return False
        self.profiles = [*kept, new]
        return True

    def put(self, connector: int, sent: dict[str, Any]) -> str:
        key = None
        purpose = sent["chargingProfilePurpose"]
        if connector > len(self.case["hardware"]):
            return "PropertyConstraintViolation"
        if purpose == "TxProfile":
            if connector not in self.running:
                return "Rejected"
            key, tx_id, _ = self.running[connector]
            if sent.get("transactionId", tx_id) != tx_id:
                return "Rejected"
        elif purpose == "ChargePointMaxProfile" and (
            connector or sent["chargingProfileKind"] == "Relative" or ("startSchedule" not in sent["chargingSchedule"])
        ):
            return "Rejected"
        return "Accepted" if self.fits(sent) and self.add(Profile(connector, sent, key)) else "Rejected"

    def fits(self, sent: dict[str, Any]) -> bool:
        return len(sent["chargingSchedule"]["chargingSchedulePeriod"]) <= int(self.case["most"])

    def clear(self, fields: dict[str, Any]) -> str:
        self.purge()

        def fits(p: Profile) -> bool:
            if "id" in fields:
                return bool(p.ident == fields["id"])
            wanted = {"connectorId": p.connector, "chargingProfilePurpose": p.purpose, "stackLevel": p.level}
            return all(fields[name] == wanted[name] for name in fields)

        before = len(self.profiles)
        self.profiles = [p for p in self.profiles if not fits(p)]
        return "Accepted" if len(self.profiles) < before else "Unknown"

    def begin(self, connector: int, tx_id: int, sent: dict[str, Any] | None) -> bool | None:
        self.purge()
        taken = None
        if sent is not None:
            taken = self.fits(sent) and len(self.profiles) < self.case["room"]
        self.keys += 1
        self.running[connector] = (self.keys, tx_id, self.uptime)
        if sent is not None and taken:
            self.add(Profile(connector, sent, self.keys), promised=True)
        return taken

    def began(self, connector: int, t: int) -> int:
        """Start of the transaction as the central system was told it; of none: one that starts now."""
        if connector in self.running:
            return (self.boot_ms + self.running[connector][2]) // 1000
        return t

    def part(self, connector: int, t: int, began: int) -> tuple[str, Fraction] | None:
        """Limit of the transaction on this connector at time t."""

        def best(found: list[Profile]) -> tuple[str, Fraction] | None:
            for p in sorted(found, key=lambda p: -p.level):
                value = p.value(t, began)
                if value is not None:
                    return p.unit, value
            return None

        key = self.running[connector][0] if connector in self.running else None
        own = [p for p in self.profiles if p.purpose == "TxProfile" and p.tx == key and key is not None]
        value = best(own)
        if value is None and not self.case["fall_back"] and any(p.never_again(t, began) for p in own):
            return None
        default = [p for p in self.profiles if p.purpose == "TxDefaultProfile"]
        return (
            value
            or best([p for p in default if p.connector == connector])
            or best([p for p in default if p.connector == 0])
        )

    def cap(self, t: int) -> tuple[str, Fraction] | None:
        found = [p for p in self.profiles if p.purpose == "ChargePointMaxProfile"]
        for p in sorted(found, key=lambda p: -p.level):
            value = p.value(t, t)
            if value is not None:
                return p.unit, value
        return None

    def pair(self, connector: int, t: int) -> dict[str, Fraction]:
        """What the transaction may take at time t, by unit."""
        limits: dict[str, Fraction] = {}
        cap = self.cap(t)
        share = None if cap is None else (cap[0], cap[1] / len(self.running))
        for limit in (self.part(connector, t, self.began(connector, t)), share):
            if limit is not None:
                limits[limit[0]] = min(limit[1], limits.get(*limit))
        return limits

    def expected(self, connector: int, t: int, begin: int, unit: str) -> Fraction:
        """Composite limit at time t, exactly."""
        hardware = self.case["hardware"]

        def convert(limit: tuple[str, Fraction], number: int) -> Fraction:
            volts = Fraction(hardware[number - 1][2], 1000)
            if limit[0] == unit:
                return limit[1]
            return limit[1] * volts if unit == "W" else limit[1] / volts

        def local(number: int) -> Fraction:
            ma, w, _, _ = hardware[number - 1]
            return min(convert(("A", Fraction(ma, 1000)), number), convert(("W", Fraction(w)), number))

        numbers = [connector] if connector else list(range(1, len(hardware) + 1))
        parts = {n: self.part(n, t, self.began(n, begin)) for n in numbers}
        total = None
        if any(parts.values()):
            total = sum((convert(p, n) if p is not None else local(n) for n, p in parts.items()), Fraction(0))
        cap = self.cap(t)
        if cap is not None:
            sharing = len({*self.running, connector}) if connector else 1
            shared = convert((cap[0], cap[1] / sharing), numbers[0])
            total = shared if total is None else min(total, shared)
        return total if total is not None else sum((local(n) for n in numbers), Fraction(0))

    def is_exact(self, connector: int, unit: str) -> bool:
        """Only the result is rounded: one unit, nothing shared or turned into another unit on the way."""
        return all(p.unit == unit for p in self.profiles) and len(self.case["hardware"]) == 1


def seconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.datetime.fromisoformat(text).timestamp())


def stamp(t: int) -> str:
    return datetime.datetime.fromtimestamp(t, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- random cases


def make_profile(dice: random.Random, purpose: str) -> dict[str, Any]:
    kinds = ["Absolute", "Recurring", "Relative"] if purpose != "ChargePointMaxProfile" else ["Absolute", "Recurring"]
    kind = dice.choice(kinds)
    unit = dice.choice("AAW")
    start = T0 + dice.randint(-300, 500)
    duration = dice.choice([None, dice.randint(1, 700), dice.randint(1, 700), dice.choice([DAY - 60, DAY, 2 * DAY])])
    edges = sorted(dice.sample(range(1, 500), dice.randint(0, 4)))
    schedule: dict[str, Any] = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [
            {"startPeriod": second, "limit": dice.choice([dice.randint(0, 40), dice.randint(0, 400) / 10])}
            for second in [0, *edges]
        ],
    }
    if unit == "W":
        for period in schedule["chargingSchedulePeriod"]:
            period["limit"] = round(period["limit"] * 80, 1)
    if duration is not None:
        schedule["duration"] = duration
    profile: dict[str, Any] = {
        "chargingProfileId": dice.randint(1, 9),
        "stackLevel": dice.randint(0, 3),
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": schedule,
    }
    if kind == "Recurring":
        profile["recurrencyKind"] = dice.choice(["Daily", "Weekly"])
        start -= dice.randint(0, 2) * (DAY if profile["recurrencyKind"] == "Daily" else 7 * DAY)
        if dice.random() < 0.3:
            start += dice.choice([-DAY, DAY])
    if kind != "Relative" and (kind == "Recurring" or dice.random() < 0.9):
        schedule["startSchedule"] = stamp(start)
    if dice.random() < 0.3:
        profile["validFrom"] = stamp(T0 + dice.randint(-100, 400))
    if dice.random() < 0.3:
        profile["validTo"] = stamp(T0 + dice.randint(401, 1000))
    return profile


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


def check_pair(model: Model, number: int, got: list[Any]) -> None:
    """The limits in force now: as the model has them, rounded down; what is below the least is a pause."""
    want = model.pair(number, model.now())
    _, _, mv, least_ma = model.case["hardware"][number - 1]
    least = {"A": Fraction(least_ma, 1000), "W": Fraction(mv * least_ma, 10**6)}
    rounding = {"A": Fraction(1, 10), "W": Fraction(11, 10)}
    if list(got) == [0, 0]:
        assert any(limit == 0 or limit - rounding[unit] < least[unit] for unit, limit in want.items())
        return
    assert {unit for unit, value in zip("AW", got, strict=True) if value is not None} == set(want)
    assert all(limit >= least[unit] - rounding[unit] for unit, limit in want.items())
    if "A" in want:
        assert want["A"] * 1000 - 100 < got[0] <= want["A"] * 1000
        assert len(model.running) > 1 or got[0] == want["A"] * 1000
    if "W" in want:
        assert want["W"] - Fraction(11, 10) < got[1] <= want["W"]


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
