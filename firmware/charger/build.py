"""Puts the parts together: one connector from its board data, and the charge point over all. No logic.

A cold module: it leaves nothing of its own behind (a lambda made here would keep all of it in RAM).
"""

from cold import cold

from drivers.power.rivot_can import RivotModule
from ocpp16 import ChargePoint
from ocpp16.charging import Charging  # noqa: F401 - the profile is built in: tools/link.py joins it
from ocpp16.dial import Access
from ocpp16.journal_store import JournalStore

from .gate import Gate
from .interlock import Snapshot
from .metering import Meter
from .outlet import Outlet
from .plug import Plug
from .register import Register
from .vendor import VendorMessages
from .version import VERSION

# Keys of our own in the OCPP configuration (notation: lib/ocpp16/config.py): sending of the vendor messages,
# and how diagnostics go to an HTTP server.
OCPP_ROWS = (
    """\
RivotDataTransferAttempts RW int 3 1..20
RivotDataTransferRetryInterval RW int 2 0..3600
RivotDataTransferTimeout RW int 10 1..300
RivotUploadMethod RW csl PUT PUT|POST
""",
)

# Modules of ocpp16.profiles that are built in
PROFILES = ("core", "smart_charging", "local_auth", "reservation", "remote_trigger", "firmware")


def fill(app, board, settings, ocpp_defaults):
    """Build everything behind a new App.

    board -- dict, see boards/README.md; settings -- Settings, not kept; ocpp_defaults -- factory values of OCPP keys
    """
    get = settings.get
    app.update_rules = (get("update.allow_downgrade"), get("update.keys"), get("update.trial_s"))
    cold("charger.install").go_on(app)
    for number, connector in enumerate(board["connectors"], 1):
        _add_outlet(app, number, connector, board["limits"], get)
    outlets = {outlet.number: outlet for outlet in app.outlets}
    vendor = app.vendor = VendorMessages(outlets, app.clock, get("vehicle.info_wait_ms"))
    cp = app.cp = _charge_point(app, get, ocpp_defaults)
    vendor.send = cp.send_data_transfer
    vendor.reset = app.request_reset
    vendor.files = app.files
    for outlet in app.outlets:
        outlet.connector = cp.connector(outlet.number)
    crashed = app.hal.reset_cause() == "watchdog"
    cp.restore("Reboot" if crashed else "PowerLoss", not crashed and get("vehicle.resume_after_power_loss"))
    app.online = bool(get("ocpp.url"))
    app.board = board["name"]
    if board.get("reader"):
        cold("charger.build_device").add_reader(app, board["reader"])


def _add_outlet(app, number, board, limits, get):
    """Build one connector's hardware side and add it to the program."""
    clock, hal = app.clock, app.hal
    module_bus = _can(app, board["module_bus"], True)
    max_mv, max_ma, max_w = [
        min(limits[unit], get("power." + unit) or limits[unit]) for unit in ("max_mv", "max_ma", "max_w")
    ]
    module = RivotModule(module_bus, clock, get("power.current_scale_x10"), get("power.module_timeout_ms"),
                         get("power.offline_limits"))  # fmt: skip
    bms, bms_bus = _bms(app, number, board["bms_bus"], get)
    gate = Gate(
        module,
        clock,
        app.log,
        app.output(number, "contactor") if board["contactor"] else None,
        board["contactor_ms"],
        get("power.off_deadline_ms"),
        get("power.start_ma"),
        get("power.ramp_ma_s"),
        get("power.fault_hold_ms"),
        app.output(number, "enable") if board["enable"] else None,
        app.auxiliary(number) if board["contactor"] and board["contactor_feedback"] else None,
    )
    register = Register("%s/meter%d.json" % (hal.data_dir, number), clock, app.log, max_w)
    meter = Meter(clock, register.load())
    plug = Plug(clock, get("vehicle.bms_timeout_ms"), get("vehicle.session_timeout_ms"))
    parts = (number, bms, module, gate, meter, plug, module_bus, bms_bus, hal, clock, app.log)
    outlet = make_outlet(get, board, (max_mv, max_ma, max_w), parts)
    app.outlets.append(outlet)
    app.registers.append((register, outlet))
    app.buses.append(("pm%d" % number, module_bus, outlet))
    app.buses.append(("bms%d" % number, bms_bus, outlet))


def _bms(app, number, spec, get):
    """(BMS, its bus) of a bus spec. A UART BMS is both."""
    if spec[0].endswith("_uart"):
        bms = cold("charger.build_uart").bms(app, number, spec, get)
        return bms, bms
    from drivers.bms.rivot_can import RivotBms

    bus = _can(app, spec, False)
    return RivotBms(
        bus,
        app.clock,
        get("vehicle.soc_source"),
        get("vehicle.capacity_ah"),
        get("vehicle.soc_source") != "request_frame",
        get("vehicle.bms_timeout_ms"),
    ), bus


def make_outlet(get, board, limits, parts):
    """An Outlet from settings and board.

    get -- Settings.get; board -- dict of this connector; limits -- (mv, ma, W) of the hardware
    parts -- the arguments of Outlet up to its log
    """
    snap = Snapshot()
    snap.sees_pack = board["sees_pack"]
    snap.max_mv, snap.max_ma, snap.max_w = limits
    snap.low_mv, snap.high_mv = get("power.window_low_mv"), get("power.window_high_mv")
    snap.tolerance_mv = get("power.over_mv")
    snap.derate_dc, snap.stop_dc = get("power.derate_dc"), get("power.stop_dc")
    snap.heating_max_ma = get("power.heating_max_ma")
    lock = None
    if board["lock"]:
        from .lock import Lock

        lock = Lock(parts[8], parts[0], parts[9])
    options = (
        snap,
        get("power.fault_hold_ms"),
        get("vehicle.bms_timeout_ms"),
        get("vehicle.bms_stop_ms"),
        get("vehicle.session_timeout_ms") - get("vehicle.bms_timeout_ms"),
        lock,
        board["plug_switch"],
        get("meter.register") == "lifetime",
    )
    return Outlet(*(parts + options))


def _can(app, spec, is_module):
    """CAN controller of a bus spec: ("slcan", stream spec), or one of a device."""
    if spec[0] != "slcan":
        return cold("charger.build_device").can(app, spec, is_module)
    from drivers.can.slcan import Slcan

    return Slcan(app.opener(spec[1]), app.clock, uart=not isinstance(spec[1], str))


def _charge_point(app, get, defaults):
    """The charge point of this charger. Works without a central system, too: then nobody can start a session."""
    boot = {
        "chargePointVendor": get("ocpp.vendor"),
        "chargePointModel": get("ocpp.model"),
        "firmwareVersion": VERSION,
    }
    if get("ocpp.serial_number"):
        boot["chargePointSerialNumber"] = get("ocpp.serial_number")
    store = JournalStore(app.hal.data_dir + "/ocpp", app.clock)
    access = None
    if get("ocpp.url"):
        profile = get("ocpp.security_profile")
        access = Access(
            get("ocpp.url"),
            get("ocpp.identity") or "RIVOT-" + app.hal.unique_id(),
            get("ocpp.authorization_key"),
            int(profile) if profile != "auto" else None,
            get("ocpp.tls_port"),
            get("ocpp.ca_file"),
            get("ocpp.check_hostname"),
            get("ocpp.allow_missing_subprotocol"),
        )
    cp = ChargePoint(
        app.clock,
        store,
        app.log,
        app.outlets,
        boot,
        access.dial if access else None,
        app.vendor,
        PROFILES,
        config_rows=OCPP_ROWS + (cold("ocpp16.access").ROWS,),
        config_defaults=defaults,
        data_transfer_policy=app.transfer_policy,
    )
    if access:
        access.join(cp)
    return cp
