"""Put a build onto a board, talk to it, watch it: `make flash`, `make repl`, `make logs`, `make test-device`."""
