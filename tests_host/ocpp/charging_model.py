"""A model of smart charging that knows nothing but the rules and looks at every second; and random profiles for it.

It works with the profiles as they were sent, in exact fractions, and has neither change times nor a cache. Source of
its rules: OCPP 1.6 edition 2, sections 3.13, 5.5, 5.7, 5.16, 7.8, with errata.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

T0 = 1_769_040_000
DAY = 86400
PURPOSES = ["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]


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
