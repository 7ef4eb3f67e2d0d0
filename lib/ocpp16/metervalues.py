"""MeterValues on the wire. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 4.7, 7.33 (SampledValue), and the configuration key MeterValuesSampledData.
"""

from .outbox import TX


def sampled_values(evse, measurands, context):
    """JSON array text of SampledValue for those measurands, in that order; "" when none is known now.

    A measurand the evse cannot tell is left out. Values and units come from the evse as plain
    ASCII text, context is a ReadingContext.
    """
    parts = []
    for measurand in measurands:
        sample = evse.sample(measurand)
        if sample is not None:
            row = (measurand, sample[0], sample[1], context)
            parts.append('{"measurand":"%s","value":"%s","unit":"%s","context":"%s"}' % row)
    return "[" + ",".join(parts) + "]" if parts else ""


def payload(connector_id, stamp, values, tx_id=TX):
    """Text of a MeterValues.req with one MeterValue; values is the text of `sampled_values`.

    tx_id -- text of the transactionId, the mark of the outbox for it, or None: no transaction.
    """
    return '{"connectorId":%d,%s"meterValue":[{"timestamp":"%s","sampledValue":%s}]}' % (
        connector_id,
        "" if tx_id is None else '"transactionId":%s,' % tx_id,
        stamp,
        values,
    )
