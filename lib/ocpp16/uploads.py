"""One upload of diagnostics. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 4.4, 5.9 and 7.24.
"""

import asyncio

from cold import cold

NAME = "diagnostics"
_ACTION = "DiagnosticsStatusNotification"


async def run(cp, location, name, source, retries, interval_s):
    """The job. source -- see transfer.upload; the last status is said until it is answered."""
    jobs = cold("ocpp16.jobs")
    await jobs.tell(cp, _ACTION, "Uploading")
    transfer = cold("transfer")
    end = "UploadFailed"
    while True:
        try:
            await transfer.upload(cold("transfer.address").join(location, name), source, cp.hooks.files().way())
            end = "Uploaded"
            break
        except transfer.TransferError as exc:
            cp.log.warn(NAME, "%s: %s" % (cold("transfer.address").shown(location), exc))
        if retries <= 0:
            break
        retries -= 1
        await asyncio.sleep_ms(interval_s * 1000)
    cp.log.info(NAME, end)
    source = None
    await jobs.tell(cp, _ACTION, end, True)
