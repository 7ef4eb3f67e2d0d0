"""Cold modules leave no trace in RAM where it is scarce."""
# heapsize: 200k

import gc
import sys

from cold import cold


def test_module_works_and_is_forgotten():
    module = cold("ocpp16.url")
    assert module.endpoint("ws://h", "A B") == "ws://h/A%20B"
    assert "ocpp16.url" not in sys.modules and not hasattr(sys.modules["ocpp16"], "url")


def test_memory_is_free_again():
    def use():
        return cold("ocpp16.actions").known("Reset")

    for _ in range(5):  # the first use interns names, which stay
        use()
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(20):
        assert use()[0] == "core"
    gc.collect()
    assert gc.mem_alloc() - before < 500


def test_unknown_module():
    try:
        cold("ocpp16.nothing")
    except ImportError:
        return
    raise AssertionError("imported")
