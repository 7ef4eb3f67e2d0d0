"""Settings and configuration that differ from the defaults, as lines of text; no secrets. A cold module."""

from cold import cold

_HIDDEN = ("AuthorizationKey",)
_SECRET = 1  # of settings_table


def lines(app):
    """Yield them."""
    yield "[changed settings]"
    try:
        stored = cold("charger.files").read_json(app.hal.data_dir + "/settings.json")
    except (OSError, ValueError):
        stored = {}
    names = _open_texts(stored)
    for name, value in stored.items():
        if isinstance(value, str):
            value = without_login(value) if name in names else "(set)"
        yield "setting %s = %s" % (name, value)
    stored = None
    yield "[configuration]"
    for name, text in app.cp.config.texts.items():
        if name not in _HIDDEN:
            yield "key %s = %s" % (name, text)


def _open_texts(stored):
    """Names of stored texts that the schema knows and does not call secret. Without the memory for it: none."""
    names = [name for name, value in stored.items() if isinstance(value, str)]
    if not names:
        return names
    try:
        return [row[0] for row in cold("charger.settings_table").rows() if row[0] in names and not row[5] & _SECRET]
    except MemoryError:
        return []


def without_login(url):
    """An address as it may be shown: without user, password and query."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2].partition("?")[0] + slash + path.partition("?")[0]
