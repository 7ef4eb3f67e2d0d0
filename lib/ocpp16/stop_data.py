"""The meter values that StopTransaction carries. A cold module (see lib/cold.py).

They are kept with the transaction as JSON texts of MeterValue, `tx.data`, that of its begin first. At most _MOST,
at most _CHARS characters: then every second of the middle goes, never the first and the last.
Source: OCPP 1.6 edition 2, sections 4.10 and 9.1 (StopTxnSampledData, StopTxnAlignedData), with errata.
"""

from cold import cold
from micropython import const

_MOST = const(20)  # StopTransactionMaxMeterValues
_CHARS = const(4000)
_ENERGY = "Energy.Active.Import.Register"
_END = "Transaction.End"


def note(connector, tx, stamps, context):
    """Keep the values of now. stamps -- (of the start, of now), as texts."""
    aligned = context == "Sample.Clock"
    measurands = connector.cp.config.get("StopTxnAlignedData" if aligned else "StopTxnSampledData")
    values = cold("ocpp16.metervalues").sampled_values(connector.evse, measurands, context)
    if not values:
        return
    data = [text for text in tx.data or () if type(text) is str]
    if not data and not aligned and context != "Transaction.Begin":  # the key was empty then
        data.append(_bare(stamps[0], tx.meter_start, "Transaction.Begin"))
    data.append('{"timestamp":"%s","sampledValue":%s}' % (stamps[1], values))
    if len(data) > _MOST or sum([len(text) for text in data]) > _CHARS:
        data[1:-1] = data[2:-1:2]
    tx.data = data


def text_of(cp, tx, stamp):
    """The field of StopTransaction.req with a comma before it. stamp -- text of the time of the stop."""
    data = [text for text in tx.data if type(text) is str]
    if _END not in data[-1] and _ENERGY in cp.config.get("StopTxnSampledData"):
        data.append(_bare(stamp, tx.meter_last, _END))  # cut off: the last checkpoint is what is known
    return ',"transactionData":[' + ",".join(data) + "]"


def _bare(stamp, wh, context):
    return '{"timestamp":"%s","sampledValue":[{"measurand":"%s","value":"%d","unit":"Wh","context":"%s"}]}' % (
        stamp,
        _ENERGY,
        wh,
        context,
    )
