"""The simulated site: vehicle, power module, CAN buses and I/O lines of a charger. See README.md in this folder."""
