"""Smart charging in a whole charge point: what a session gets, shows and survives. The rules: test_ocpp_charging_*.py.

Source: OCPP 1.6 edition 2, sections 3.13, 4.9 and 5.11, with errata.
"""
# heapsize: 1m

import asyncio

from scripted_csms import rooms, run_life  # before anything of ocpp16: it stands in for cold

# isort: split
from charging_bench import DEFAULT, MAX, TX, profile

from ocpp16.ramstore import RamStore

OK, NO = {"status": "Accepted"}, {"status": "Rejected"}
SMART = ("core", "smart_charging")


def relative(number, purpose=DEFAULT, periods="0:16", **more):
    return profile(number, purpose, periods, "Relative", **more)


def run(scenario, **options):
    options.setdefault("profiles", SMART)
    run_life(scenario, **options)


async def put(b, number, sent):
    return await b.ask("SetChargingProfile", connectorId=number, csChargingProfiles=sent)


async def session(b):
    await b.session()


class Loads:
    """Counts what is loaded, and fails for `fail`."""

    def __init__(self, fail=None, error=MemoryError):
        self.names = []
        self._fail = fail
        self._error = error

    def __call__(self, name):
        self.names.append(name)
        if name == self._fail:
            raise self._error

    def __enter__(self):
        rooms.fail = self
        return self

    def __exit__(self, *_):
        rooms.fail = None


def test_limits_follow_at_once():
    async def scenario(b):
        await session(b)
        assert b.evse.given == (None, None)
        assert await put(b, 0, relative(1, periods="0:16 60:10.5")) == OK
        await asyncio.sleep_ms(20)
        assert b.evse.given == (16_000, None)
        assert await put(b, 0, profile(2, MAX, "0:3000", unit="W", start=0)) == OK
        await asyncio.sleep_ms(20)
        assert b.evse.given == (16_000, 3000)
        await b.until(lambda: b.evse.given == (10_500, 3000), 61_000)
        tx = b.connector.transaction
        assert 59_000 < b.clock.uptime_ms() - tx.start_uptime <= 60_110  # counted in whole seconds of UTC
        assert await b.ask("ClearChargingProfile") == OK
        await asyncio.sleep_ms(20)
        assert b.evse.given == (None, None) and b.evse.switches[-1][1]  # never off in between
        assert len(b.evse.switches) == 1 and b.csms.story()[-1] != "SuspendedEVSE"

    run(scenario)


def test_zero_suspends_and_the_transaction_goes_on():
    async def scenario(b):
        await session(b)
        assert await put(b, 1, relative(1, TX, "0:0")) == OK
        await b.until(lambda: b.csms.story()[-1] == "SuspendedEVSE", 500)
        wh = b.evse.energy_wh()
        await asyncio.sleep_ms(30_000)
        assert b.evse.energy_wh() == wh and b.connector.transaction.reason is None
        assert await put(b, 1, relative(1, TX, "0:0.4")) == OK  # less than the least current of 0.5 A
        await asyncio.sleep_ms(1000)
        assert b.evse.given == (0, 0)
        assert await put(b, 1, relative(1, TX, "0:0.5")) == OK
        await b.until(lambda: b.csms.story()[-1] == "Charging", 1000)
        assert await put(b, 0, profile(2, MAX, "0:39.9", unit="W", start=0)) == OK  # 0.5 A at 80 V is 40 W
        await b.until(lambda: b.csms.story()[-1] == "SuspendedEVSE", 500)
        assert await put(b, 0, profile(2, MAX, "0:40", unit="W", start=0)) == OK
        await b.until(lambda: b.csms.story()[-1] == "Charging", 1000)
        assert "StopTransaction" not in b.csms.story()

    run(scenario)


def test_zero_from_the_start_is_not_preparing():
    async def scenario(b):
        await b.online()
        await put(b, 0, relative(1, periods="0:0 20:6"))
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK
        await b.until(lambda: "SuspendedEVSE" in b.csms.story(), 500)
        await b.until(lambda: b.csms.story()[-1] == "Charging", 21_000)
        assert b.csms.story().count("Preparing") == 1

    run(scenario)


def test_start_with_a_profile():
    async def scenario(b):
        await b.online()
        await put(b, 0, relative(9, periods="0:20"))
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6 10:0")) == OK
        await asyncio.sleep_ms(2000)
        await b.plug()
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (6000, None)
        assert b.store.get("profile1")[10] == b.connector.transaction.key  # stored, as that transaction's
        await b.until(lambda: b.csms.story()[-1] == "SuspendedEVSE", 11_000)
        b.connector.stop("Local")
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK  # the next user
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (20_000, None)

    run(scenario)


def test_start_with_a_profile_that_cannot_be():
    async def scenario(b):
        await b.online()
        await b.plug()
        for sent in (
            relative(1, DEFAULT),  # TC_060
            profile(1, MAX, "0:16"),
            relative(1, TX, transactionId=5),
            relative(1, TX, "5:16"),
            relative(1, TX, level=9),
        ):
            assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=sent) == NO, sent
        bad = relative(1, "Tx")
        code, text = await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=bad)
        assert code == "PropertyConstraintViolation" and text.startswith("chargingProfile.chargingProfilePurpose")
        await asyncio.sleep_ms(500)
        assert b.connector.transaction is None and not b.csms.calls("StartTransaction")

    run(scenario)


def test_start_with_a_profile_waits_for_authorize():
    async def scenario(b):
        b.csms.delays["Authorize"] = 1500
        await b.online()
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6")) == OK
        await b.until(lambda: b.evse.permitted)
        assert len(b.csms.calls("Authorize")) == 1 and b.evse.given == (6000, None)

    run(scenario, config={"AuthorizeRemoteTxRequests": "true"})


def test_profile_of_a_start_that_was_given_up_is_forgotten():
    async def scenario(b):
        await b.online()
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6")) == OK
        await b.until(lambda: b.csms.story()[-1] == "Available", 6000)  # ConnectionTimeOut
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (None, None)

    run(scenario, config={"ConnectionTimeOut": "5"})


def test_profile_that_cannot_be_stored_is_no_session():
    async def scenario(b):
        put_value = b.store.put

        def full(name, value, urgent=True):
            if name.startswith("profile"):
                raise OSError(28)
            put_value(name, value, urgent)

        await b.online(supervised=True)
        await b.plug()
        b.store.put = full
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6")) == OK
        await asyncio.sleep_ms(3000)
        assert not b.csms.calls("StartTransaction") and b.connector.transaction is None
        assert sum("OSError" in text for _, _, text in b.log.lines) == 1  # and nothing died of it
        b.store.put = put_value
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6")) == OK
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (6000, None)

    run(scenario)


def test_without_smart_charging_a_profile_is_passed_over():
    async def scenario(b):
        await b.online()
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T", chargingProfile=relative(1, TX, "0:6")) == OK
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (None, None)
        assert (await b.ask("SetChargingProfile", connectorId=0, csChargingProfiles=relative(1)))[0] == "NotSupported"
        assert b.store.get("profile0") is None

    run(scenario, profiles=("core",))


def test_shares_of_two_sessions():
    async def scenario(b):
        b.start()
        await b.until(lambda: b.cp.online)
        for evse in b.evses:
            evse.is_plugged = True
        await put(b, 0, profile(1, MAX, "0:25", start=0))
        for number in (1, 2):
            assert await b.ask("RemoteStartTransaction", idTag="T%d" % number, connectorId=number) == OK
            await b.until(lambda number=number: b.evses[number - 1].permitted)
            if number == 1:
                assert b.evses[0].given == (25_000, None)
        await asyncio.sleep_ms(110)
        assert b.evses[0].given == b.evses[1].given == (12_500, None)
        b.cp.connectors[0].stop("Local")
        await b.until(lambda: b.evses[1].given == (25_000, None), 1000)

    run(scenario, connectors=2)


def test_power_cut_keeps_profiles_but_not_those_of_the_transaction():
    store = RamStore()

    async def before(b):
        await session(b)
        assert await put(b, 0, relative(1, periods="0:16")) == OK
        assert await put(b, 1, relative(2, TX, "0:6")) == OK
        await b.until(lambda: b.evse.given == (6000, None))

    async def after(b):
        b.cp.restore()
        b.start()
        await b.until(lambda: "StopTransaction" in b.csms.story())
        b.evse.is_plugged = True
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (16_000, None)
        assert b.store.get("profile1") is None

    run(before, store=store)
    run(after, store=store)


def test_nothing_is_loaded_while_nothing_changes():
    async def scenario(b):
        await session(b)
        with Loads() as without:
            await asyncio.sleep_ms(5000)
        assert not [name for name in without.names if "charging" in name]
        await put(b, 0, relative(1, periods="0:16 60:10"))
        await asyncio.sleep_ms(100)
        with Loads() as between:
            await asyncio.sleep_ms(20_000)
        assert not [name for name in between.names if "charging" in name]
        with Loads() as change:
            await b.until(lambda: b.evse.given == (10_000, None))
        assert change.names.count("ocpp16.charging_profiles") == 1

    run(scenario, config={"MeterValueSampleInterval": "0"})


def test_a_cold_part_that_cannot_be_loaded_keeps_the_limit_for_a_while():
    """Those of before count for some 5 s; then nothing may flow; then the right ones."""

    async def scenario(b):
        await session(b)
        await put(b, 0, relative(1, periods="0:16 30:10"))
        await b.until(lambda: b.evse.given == (16_000, None))
        with Loads("ocpp16.charging_limits") as missing:
            await asyncio.sleep_ms(33_000)
            assert b.evse.given == (16_000, None) and b.evse.permitted and len(missing.names) > 20
            await b.until(lambda: b.evse.given == (0, 0), 5000)
            assert b.connector.transaction.reason is None
        await b.until(lambda: b.evse.given == (10_000, None), 110)
        assert sum("MemoryError" in text for _, _, text in b.log.lines) == 1

    run(scenario)


def test_a_session_that_begins_gets_nothing_of_the_one_before():
    async def scenario(b):
        await b.online(supervised=True)
        await put(b, 0, relative(1, periods="0:16 60:0"))
        await b.plug()
        await b.charging()
        assert b.evse.given == (16_000, None)
        b.connector.stop("Local")
        await b.until(lambda: b.connector.transaction is None)
        with Loads("ocpp16.charging_profiles"):
            assert await b.ask("RemoteStartTransaction", idTag="T") == OK
            await b.until(lambda: b.evse.permitted)
            assert b.evse.given == (0, 0)
        await b.until(lambda: b.evse.given == (16_000, None), 110)

    run(scenario)


def test_refused_tag_gets_no_power_by_a_change_of_limits():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
        await b.online()
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK
        await b.until(lambda: b.connector.transaction is not None and b.connector.transaction.accepted is False)
        for periods in ("0:16", "0:10"):
            await put(b, 0, relative(1, periods=periods))
            await asyncio.sleep_ms(300)
        assert not b.evse.switches and not b.evse.permitted

    run(scenario, config={"StopTransactionOnInvalidId": "false"})


def test_limits_before_the_answer_to_start_give_no_power():
    async def scenario(b):
        b.csms.delays["StartTransaction"] = 3000
        await b.online()
        await b.plug()
        assert await b.ask("RemoteStartTransaction", idTag="T") == OK
        await b.until(lambda: b.csms.calls("StartTransaction"))
        for periods in ("0:16", "0:10"):
            assert await put(b, 1, relative(1, TX, periods)) == OK
            await asyncio.sleep_ms(300)
        assert not b.evse.switches
        await b.until(lambda: b.evse.permitted)
        assert b.evse.given == (10_000, None)

    run(scenario)


def test_supported_feature_profiles_and_keys():
    async def scenario(b):
        await b.online()
        rows = await b.ask(
            "GetConfiguration", key=["SupportedFeatureProfiles", "ChargingScheduleAllowedChargingRateUnit"]
        )
        assert [row["value"] for row in rows["configurationKey"]] == ["Core,SmartCharging", "Current,Power"]
        sampled = "Energy.Active.Import.Register,Current.Offered,Power.Offered"
        assert await b.ask("ChangeConfiguration", key="MeterValuesSampledData", value=sampled) == OK

    run(scenario)
