"""One upload of diagnostics. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 4.4, 5.9 and 7.24.
"""

import asyncio

from cold import cold

NAME = "diagnostics"
_ACTION = "DiagnosticsStatusNotification"


async def run(cp, location, name, source, retries, interval_s):
    """The job. source -- see transfer/way.py; the last status is said until it is answered."""
    jobs = cold("ocpp16.jobs")
    await jobs.tell(cp, _ACTION, "Uploading")
    url = cold("transfer.address").join(location, name)
    way = cp.hooks.files().way()
    end = "UploadFailed"
    while True:
        try:
            await way.upload(url, source)
            end = "Uploaded"
            break
        except Exception as exc:  # noqa: BLE001 - no memory is a failure, too, and the central system waits to hear
            cp.log.warn(NAME, "%s: %s" % (cold("transfer.address").shown(location), exc))
        if retries <= 0:
            break
        retries -= 1
        await asyncio.sleep_ms(interval_s * 1000)
    cp.log.info(NAME, end)
    source = None
    await jobs.tell(cp, _ACTION, end, True)
