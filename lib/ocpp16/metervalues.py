"""MeterValues: what is sampled when, and its text on the wire.

Source: OCPP 1.6 edition 2, sections 4.7, 7.33 (SampledValue), and the configuration keys
MeterValueSampleInterval and MeterValuesSampledData.
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


def payload(connector_id, stamp, values, in_transaction=True):
    """Text of a MeterValues.req with one MeterValue; values is the text of `sampled_values`."""
    return '{"connectorId":%d,%s"meterValue":[{"timestamp":"%s","sampledValue":%s}]}' % (
        connector_id,
        '"transactionId":%s,' % TX if in_transaction else "",
        stamp,
        values,
    )


class Schedule:
    """Absolute sampling times: origin + n * interval, never "after the last one".

    A sample that comes late keeps the time it was due, and one that was missed by more than
    an interval is skipped, not made up.
    """

    def __init__(self, origin, interval_ms):
        self.origin = origin  # uptime ms
        self.interval_ms = interval_ms
        self.n = 0  # the last sample taken

    def wait_ms(self, now):
        """Milliseconds until the next sample is due; 0: now. None: sampling is off."""
        if not self.interval_ms:
            return None
        return max(0, self.origin + (self.n + 1) * self.interval_ms - now)

    def take(self, now):
        """Uptime the due sample belongs to. Call only when wait_ms() is 0."""
        self.n = (now - self.origin) // self.interval_ms
        return self.origin + self.n * self.interval_ms
