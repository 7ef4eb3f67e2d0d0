# Everything a developer or CI does starts here. Run `make` to see the list.

PYTHON3 ?= python3
BOARD ?= sim
PORT ?=
FILE ?=
KEY ?=
ARGS ?=
BIN := .venv/bin

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup test unit fuzz system check bench build size romfs flash repl logs test-device provision packages bundle demo wire replay lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Provide MicroPython and the Python packages; nothing is done when they are there
	@$(PYTHON3) tools/toolchain.py

test: setup ## Run all tests (ARGS="-k name" narrows them)
	@$(BIN)/python -m tools.run_tests $(ARGS)

unit: setup ## Run the unit tests on MicroPython, 64 and 32 bit
	@$(BIN)/pytest tests_host/test_unit.py $(ARGS)

fuzz: setup ## Feed 10 million random bytes or frames to every driver (some minutes)
	@FUZZ=full $(BIN)/pytest tests_host/test_unit.py -k "fuzz and 64" $(ARGS)

system: setup ## Run the tests that start the firmware, the simulator and the central system
	@$(BIN)/pytest tests_host/system tests_host/oca $(ARGS)

check: setup ## Lint, types, import directions and boards
	@status=0; \
	$(BIN)/ruff check --output-format=concise . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/mypy --config-file tools/mypy-device.ini || status=1; \
	$(BIN)/python -m tools.check_imports || status=1; \
	$(BIN)/python -m tools.check_boards || status=1; \
	exit $$status

bench: setup ## Measure reactions, the meter's schedule, memory and size (ARGS=--help)
	@$(BIN)/python -m tools.bench $(ARGS)

build: setup ## Compile the firmware to .mpy in build/BOARD (default BOARD=sim)
	@$(BIN)/python -m tools.build_mpy --board $(BOARD) --out build/$(BOARD) $(ARGS)

size: setup ## Show the bytes of .mpy per module
	@$(BIN)/python -m tools.build_mpy --board $(BOARD) --out build/$(BOARD) --modules

romfs: setup ## Pack the build into a read-only file system: build/BOARD/BOARD.romfs
	@$(BIN)/python -m tools.romfs --board $(BOARD)

flash: setup ## Put the program onto a board: BOARD=name, PORT=/dev/ttyUSB0 if there are several
	@$(BIN)/python -m tools.flash install --board "$(BOARD)" --port "$(PORT)" $(ARGS)

repl: setup ## Talk to MicroPython on a board (Ctrl-] ends it)
	@$(BIN)/python -m tools.flash repl --port "$(PORT)"

logs: setup ## Show what a board says, without disturbing it (Ctrl-C ends it)
	@$(BIN)/python -m tools.flash logs --port "$(PORT)"

test-device: setup ## Run the unit tests on a board (ARGS="--only name")
	@$(BIN)/python -m tools.flash test --port "$(PORT)" $(ARGS)

provision: setup ## Give many boards their settings: FILE=boards.csv (ARGS=--help shows its form)
	@$(BIN)/python -m tools.provision $(FILE) $(ARGS)

packages: setup ## Renew the lists of files by which mip installs lib/ocpp16 and lib/wsclient
	@$(BIN)/python -m tools.packages

bundle: setup ## Pack a build for UpdateFirmware: BOARD=name KEY=keys/update.key.pem (python -m tools.bundle keys)
	@test -n "$(KEY)" || { echo "KEY=keys/update.key.pem is missing; $(BIN)/python -m tools.bundle keys makes one"; exit 2; }
	@$(BIN)/python -m tools.bundle make --board $(BOARD) --key "$(KEY)" $(ARGS)

demo: setup ## Show a whole charging session (ARGS=--auto needs no keys)
	@$(BIN)/python -m tools.demo $(ARGS)

wire: setup ## Play the wire of tools/demo/README.md (ARGS=--write renews it there)
	@$(BIN)/python -m tools.demo.wire $(ARGS)

replay: setup ## Play a recorded session back: CAN=bus.log OCPP=wire.jsonl (ARGS=--help tells how to record)
	@$(BIN)/python -m tools.replay $(if $(CAN),--can $(CAN)) $(if $(OCPP),--ocpp $(OCPP)) $(ARGS)

lock: setup ## Pin the newest versions of the Python packages in tools/requirements*.lock
	@$(PYTHON3) tools/toolchain.py --lock

clean: ## Remove what is built; keep the tools
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.toolchain/*' -prune -exec rm -rf {} +

distclean: clean ## Remove the tools too, as in a fresh clone
	rm -rf .venv .toolchain
