"""Schema of the device settings, their checks and their storage. A cold module: see settings.Settings."""

from cold import cold
from micropython import const

SECRET = const(1)  # never printed, logged, exported
RESTART = const(2)  # takes effect at the next start

# name; type; default; range (of a text: of its length); S secret, R needs a restart; unit; help
# One string: a table of tuples would cost twice the memory. row() reads it.
_SCHEMA = """
ocpp.url;text;;0..255;R;;address of the central system (ws:// or wss://); empty: none
ocpp.identity;text;;0..48;R;;name of this charge point; empty: made from the unique id
ocpp.vendor;text;RivotMotors;1..20;R;;chargePointVendor
ocpp.model;text;ESP32-DCFC;1..20;R;;chargePointModel
ocpp.serial_number;text;;0..25;R;;chargePointSerialNumber; empty: not sent
ocpp.authorization_key;text;;0..40;SR;;password of HTTP Basic: 16 to 20 characters, or 32 to 40 hex digits; empty: none
ocpp.security_profile;choice;auto;auto|0|1|2;R;;1: password, 2: password and TLS; auto: as URL and password say
ocpp.tls_port;int;0;0..65535;R;;port for TLS when profile 2 is used with a ws:// address; 0: the port of the address
ocpp.ca_file;text;;0..128;R;;file with the certificates trusted for wss:// and https://
ocpp.check_hostname;bool;true;;R;;the certificate must carry the server's name; false: any name, which is not safe
ocpp.allow_missing_subprotocol;bool;false;;R;;accept a server that names no subprotocol
wifi.ssid;text;;0..32;R;;name of the wireless network; empty: none
wifi.password;text;;0..63;SR;;its password; empty: an open network
wifi.hostname;text;;0..32;R;;our name in the network; empty: made from the unique id
wifi.country;text;;0..2;R;;two letters, for the permitted channels; empty: worldwide
service.pin;text;;0..12;S;;PIN of the serial console: 4 to 12 digits, asked for before changes; empty: none
time.ntp_host;text;pool.ntp.org;0..64;R;;server that tells the time before the central system does; empty: none
update.allow_downgrade;bool;false;;R;;an update may be older than what runs
update.keys;text;;0..64;R;;folder with the public keys (*.pem) that sign updates; empty: keys in the data folder
update.trial_s;int;600;10..86400;R;s;a new version restarts if not accepted by then; the third time the old one is back
meter.register;choice;session;session|lifetime;R;;energy register that OCPP shows
vehicle.soc_source;choice;ah_counters;none|ah_counters|request_frame|daly;R;;where the state of charge comes from
vehicle.capacity_ah;int;0;0..500;R;Ah;battery capacity; 0: from the class of the vehicle
vehicle.max_mv;int;0;0..150000;R;mV;a UART BMS only: voltage limit of the vehicle; 0: not set, no charging
vehicle.max_ma;int;0;0..400000;R;mA;a UART BMS only: current limit of the vehicle; 0: not set, no charging
vehicle.bms_timeout_ms;int;3000;500..10000;R;ms;BMS silence that cuts the power
vehicle.session_timeout_ms;int;8000;1000..60000;R;ms;BMS silence that ends a session
vehicle.bms_stop_ms;int;3000;500..600000;R;ms;a BMS that forbids for this long ends the session
vehicle.info_wait_ms;int;3000;0..30000;R;ms;VehicleInfo waits this long for missing data
vehicle.resume_after_power_loss;bool;false;;R;;a session goes on after a power cut if its vehicle is still there
power.window_low_mv;int;56000;10000..150000;R;mV;packs are above this
power.window_high_mv;int;85500;10000..150000;R;mV;packs are below this
power.max_mv;int;0;0..150000;R;mV;output limit; 0: that of the board
power.max_ma;int;0;0..400000;R;mA;output limit; 0: that of the board
power.max_w;int;0;0..60000;R;W;output limit; 0: that of the board
power.heating_max_ma;int;10000;0..400000;R;mA;limit while the BMS asks for heating
power.current_scale_x10;int;305;1..10000;R;;module current steps per ampere, times 10
power.module_timeout_ms;int;3000;500..10000;R;ms;module silence that cuts the power
power.offline_limits;bool;false;;R;;the module must accept 0 A for the time without CAN, or nothing starts
power.derate_dc;int;600;0..1500;R;0.1 degC;current falls from here ...
power.stop_dc;int;700;0..1500;R;0.1 degC;... to nothing here
power.over_mv;int;500;0..5000;R;mV;terminal voltage may exceed the BMS limit by this
power.off_deadline_ms;int;2000;500..10000;R;ms;an off not confirmed by then is a fault
power.start_ma;int;1000;100..10000;R;mA;first current of a session
power.ramp_ma_s;int;20000;100..100000;R;mA/s;how fast the current rises
power.fault_hold_ms;int;10000;0..600000;R;ms;pause between a fault and the next start
"""

# Pairs that must stay in order: the first below the second, or for timeouts not above it.
_ORDER = (
    ("power.window_low_mv", "power.window_high_mv", 1),
    ("power.derate_dc", "power.stop_dc", 1),
    ("vehicle.bms_timeout_ms", "vehicle.session_timeout_ms", 0),
)

_FILES = "charger.files"
_FILE = "settings.json"
_GOOD = "settings.good.json"  # what the last start could read without an error


def load(settings, presets):
    """Give new settings their values: what was stored, else the presets, else the defaults."""
    _take(settings, {} if presets is None else presets, settings.preset, "factory file")
    if settings.folder is not None:
        _load(settings)
    if settings.secrets is not None:
        _load_secrets(settings)
    use(settings)


def change(settings, name, value, remove=False):
    """Store another value, or with `remove` go back to the factory's. See Settings.set."""
    return change_all(settings, {name: None if remove else check(row(name), value)})


def change_all(settings, changes):
    """Store several values at once, {name: value of its type, or None: the factory's}. As Settings.set.

    Those that are no secret change together or not at all.
    """
    trial = dict(settings.stored)
    hidden = []
    restart = False
    for name, value in changes.items():
        schema_row = row(name)
        restart = restart or bool(schema_row[5] & RESTART)
        if value is None:
            trial.pop(name, None)
        else:
            trial[name] = check(schema_row, value, text=False)
        if settings.secrets is not None and schema_row[5] & SECRET:
            hidden.append(name)
    problem = _disorder(settings, trial)
    if problem:
        raise ValueError("%s must be below %s" % problem[:2])
    for name in hidden:
        settings.secrets.put(name, trial.get(name))
    if settings.folder is not None and len(hidden) < len(changes):
        _write(settings, trial)
    settings.stored = trial
    use(settings)
    return restart


def export(settings):
    """See Settings.export."""
    shown = []
    for name, _, _, _, _, flags, _, _ in rows():
        value = settings.get(name)
        if flags & SECRET:
            value = "(set)" if value else ""
        shown.append((name, value, settings.source(name)))
    return shown


def use(settings):
    """Put the value in use of every setting into settings.values."""
    settings.values = values = {}
    for schema_row in rows():
        name = schema_row[0]
        values[name] = settings.stored.get(name, settings.preset.get(name, schema_row[2]))


def _load(settings):
    files = cold(_FILES)
    for name in (_FILE, _GOOD):
        try:
            raw = files.read_json(settings.folder + "/" + name)
        except OSError:
            continue  # not there: a new device, or never changed
        except ValueError:
            _ignore(settings, "%s is unreadable" % name)
            continue
        before = settings.ignored
        _take(settings, raw, settings.stored, name)
        if name == _GOOD:
            settings.log.warn("settings", "%s is missing or unreadable: using %s" % (_FILE, name))
        elif settings.ignored == before:
            _keep_good(settings, raw, files)
        return


def _load_secrets(settings):
    """Read the secrets from where they live; one that is still in the file moves there."""
    moved = False
    for name, _, _, _, _, flags, _, _ in rows():
        if not flags & SECRET:
            continue
        try:
            if name in settings.stored:
                settings.secrets.put(name, settings.stored[name])
                moved = True
                continue
            text = settings.secrets.get(name)
        except (OSError, ValueError) as exc:
            _ignore(settings, "%s: %s" % (name, exc))
            continue
        if text is not None:
            _take(settings, {name: text}, settings.stored, "secrets")
    if moved:
        try:
            _write(settings, settings.stored)
            cold(_FILES).write_json(settings.folder + "/" + _GOOD, _open(settings, settings.stored))
        except OSError as exc:
            settings.log.error("settings", exc)


def _write(settings, values):
    cold(_FILES).write_json(settings.folder + "/" + _FILE, _open(settings, values))


def _open(settings, values):
    """What of these values lives in the file."""
    if settings.secrets is None:
        return values
    return {name: value for name, value in values.items() if not row(name)[5] & SECRET}


def _keep_good(settings, raw, files):
    path = settings.folder + "/" + _GOOD
    try:
        try:
            if files.read_json(path) == raw:
                return
        except (OSError, ValueError):
            pass
        files.write_json(path, raw)
    except OSError as exc:
        settings.log.error("settings", exc)


def _take(settings, raw, into, source):
    """Copy what is right from `raw` (anything) to the dict `into`."""
    if not isinstance(raw, dict):
        _ignore(settings, "%s: not an object" % source)
        return
    for name, value in raw.items():
        try:
            into[name] = check(row(name), value, text=False)
        except KeyError:
            _ignore(settings, "%s: unknown setting %s" % (source, name))
        except ValueError as exc:
            _ignore(settings, "%s: %s" % (source, exc))
    problem = _disorder(settings, settings.stored)
    while problem:
        gone = [n for n in problem[:2] if into.pop(n, None) is not None]
        _ignore(settings, "%s: %s must be below %s" % (source, problem[0], problem[1]))
        problem = _disorder(settings, settings.stored) if gone else None


def _disorder(settings, stored):
    """The first pair of _ORDER that would be broken with these stored values, or None."""
    for pair in _ORDER:
        low, high = [stored.get(n, settings.preset.get(n, row(n)[2])) for n in pair[:2]]
        if not low + pair[2] <= high:
            return pair
    return None


def _ignore(settings, text):
    settings.ignored += 1
    settings.log.warn("settings", text + ", ignored")


def rows():
    """Each setting as (name, type, default, low, high, flags, unit, help).

    type -- "int", "bool", "text" (low, high: length) or "choice" (high: tuple); flags -- SECRET | RESTART.
    """
    start = 1
    while start < len(_SCHEMA):
        end = _SCHEMA.find("\n", start)
        yield _row(_SCHEMA[start:end])
        start = end + 1


def row(name):
    """Row of one setting, see rows(). KeyError: there is none."""
    start = _SCHEMA.find("\n%s;" % name) + 1
    if not start or not isinstance(name, str) or ";" in name:
        raise KeyError(name)
    return _row(_SCHEMA[start : _SCHEMA.find("\n", start)])


def _row(line):
    name, kind, default, span, marks, unit, help_text = line.split(";", 6)
    low, high = 0, 0
    if kind == "choice":
        high = tuple(span.split("|"))
    elif kind != "bool":
        low, high = [int(n) for n in span.split("..")]
    if kind == "int":
        default = int(default)
    elif kind == "bool":
        default = default == "true"
    flags = (SECRET if "S" in marks else 0) | (RESTART if "R" in marks else 0)
    return name, kind, default, low, high, flags, unit, help_text


def check(schema_row, value, text=True):
    """Return the value in its own type, or raise ValueError with a sentence that a technician understands.

    text -- also take the text of a number or "true"/"false", as typed on a console.
    """
    name, kind, _, low, high, _, unit, _ = schema_row
    if kind == "bool":
        if isinstance(value, bool):
            return value
        word = value.lower() if text and isinstance(value, str) else ""
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
        raise ValueError("%s must be true or false" % name)
    if kind == "int":
        if text and isinstance(value, str):
            digits = value[1:] if value[:1] == "-" else value
            if digits and len(digits) < 10 and all("0" <= c <= "9" for c in digits):
                value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(("%s must be a whole number from %d to %d %s" % (name, low, high, unit)).rstrip())
        return value
    if kind == "choice":
        if value not in high:
            raise ValueError("%s must be one of: %s" % (name, ", ".join(high)))
        return value
    if not isinstance(value, str) or not low <= len(value) <= high or not all(" " <= c <= "~" for c in value):
        raise ValueError("%s must be text of %d to %d printable characters" % (name, low, high))
    if name == "service.pin" and value and (len(value) < 4 or not value.isdigit()):
        raise ValueError("service.pin must have 4 to 12 digits, or be empty")
    if name == "ocpp.url" and value and value.partition("://")[0] not in ("ws", "wss"):
        raise ValueError("ocpp.url must begin with ws:// or wss://")
    if name == "ocpp.url" and ("@" in value or "?" in value):  # it is shown, and no connection takes them anyway
        raise ValueError("ocpp.url must hold no user, password or query")
    return value
