"""The virtual board: a serial port with MicroPython behind it, without a board. See README.md."""
