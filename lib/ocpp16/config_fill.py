"""The first values of a configuration: presets, and what was changed before the start. A cold module."""

from cold import cold

rows = cold("ocpp16.config_rows")

# Asked for by each session, deep inside of something else: ready from the start, when there is room.
_OFTEN = (
    "AuthorizationCacheEnabled AuthorizeRemoteTxRequests LocalAuthListEnabled LocalAuthorizeOffline LocalPreAuthorize"
    " MaxEnergyOnInvalidId MeterValuesSampledData StopTransactionOnInvalidId StopTxnSampledData"
)


def fill(config, defaults, stored):
    """Give a new configuration its values: presets, then what was stored, over the table's defaults."""
    table = cold("ocpp16.config_edit").Table(config)
    _adopt(table, defaults, False)
    _adopt(table, stored, True)
    for name in _OFTEN.split():
        value = table.value(name)
        if value is not None:
            config.values[name] = value


def _adopt(table, texts, stored):
    """Take over presets or stored values, read-only keys first: they are the limits of others."""
    config = table.config
    if type(texts) is not dict:
        texts = {} if texts is None else {"(all)": None}
    left = set(texts)
    for read_only in (True, False):
        for name in sorted(left, key=str):
            row = rows.find(table.rows, name) if type(name) is str else None
            if row is None or (row[1] == "R") != read_only or (stored and read_only):
                continue
            try:
                value = table.checked(row, texts[name])
            except ValueError:
                continue
            left.remove(name)
            config.texts[name] = rows.text_of(value)
            if stored:
                config.stored[name] = config.texts[name]
    config.ignored += len(left)
    if left and config.log:
        config.log.warn("config", "ignored: " + " ".join([str(name)[:50] for name in left])[:200])
