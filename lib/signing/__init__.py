"""Checking signatures on the device: see README.md. Nothing here is secret, so nothing needs constant time."""
