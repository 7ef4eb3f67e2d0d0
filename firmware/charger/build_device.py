"""The parts that only a device has: CAN controllers on its SPI, the id-tag reader. A cold module: see build.fill."""

from cold import cold


def can(app, spec, is_module):
    """CAN controller for ("mcp2515", SPI, chip select, interrupt, crystal Hz); the board names SPI and pins.

    is_module -- the bus of the power module, else that of the vehicle: which identifiers are of interest
    """
    kind, spi, select, interrupt, crystal = spec
    hal = app.hal
    ids = cold("drivers.can.rivot_ids")
    driver = __import__("drivers.can." + kind, None, None, ("*",))
    return driver.Mcp2515(
        hal.spi(spi),
        hal.pin(select),
        hal.pin(interrupt),
        app.clock,
        oscillator=crystal,
        ids=ids.MODULE if is_module else ids.BMS,
    )


def start(app, services, supervise):
    """Start what the device has besides: Wi-Fi, names, time, id-tag reader. supervise -- Supervisor.start"""
    from .presence import Presence

    presence = Presence(app)
    app.hal.is_idle, app.hal.is_online = presence.is_idle, presence.is_online if app.online else None
    for name, run in services:
        supervise(name, run)
    app.hal.ignore_interrupt()  # Ctrl-C is a key like others; the console leaves to the REPL where it may


def add_reader(app, spec):
    """Join an id-tag reader: ("mfrc522", SPI, chip select). A card that is presented is a swipe at the station."""
    from drivers.reader.watch import Watch

    kind, spi, select = spec
    hal = app.hal
    driver = __import__("drivers.reader." + kind, None, None, ("*",)).Mfrc522(hal.spi(spi), hal.pin(select))
    watch = app.hal.reader = Watch(driver, app.clock, app.log, hal.swipe)
    hal.services.append(("reader", watch.run))
