"""Joins what the ESP32 needs for a network: Wi-Fi, names, time, image. A cold module: see esp32.Hal.use."""

from .esp32_clock import TimeKeeper
from .esp32_image import Image
from .esp32_names import Names


def add(hal, settings, clock, log):
    """Add the services to hal.services. Without wifi.ssid there is only the chip's clock."""
    get = settings.get
    ssid = get("wifi.ssid")
    wifi = None
    if ssid:
        from .esp32_wifi import Wifi

        name = get("wifi.hostname") or "rivot-" + hal.unique_id()[6:]
        wifi = Wifi(hal, clock, log, ssid, get("wifi.password"), name, get("wifi.country"))
        hal.services.append(("wifi", wifi.run))
    else:
        log.warn("wifi", "no network: wifi.ssid is not set")
    names = Names(wifi.server if wifi else hal.no_server, hal.may_block, clock, log)
    keeper = TimeKeeper(clock, log, names, get("time.ntp_host") if wifi else "")
    hal.services.append(("time", keeper.run))
    hal.services.append(("image", Image(hal, clock, log).run))
    hal.wifi, hal.time = wifi, keeper
    if wifi:
        hal.services.append(("names", names.run))
        if get("ocpp.url"):
            import wsclient

            wsclient.resolve = names.resolve
