"""A local list of 1,000 tags: sent in chunks, looked up, and refused when a message is too long.

tests_host/test_local_list_heap.py runs this file from .mpy in the heap of the device.
"""

import asyncio
import binascii
import gc
import os

from cold import cold

from ocpp16 import rpc

FOLDER = "/tmp/heap-" + str(binascii.hexlify(os.urandom(6)), "utf-8")
CHUNK = 20
TOTAL = 1000
VALUES = {"LocalAuthListEnabled": True, "SendLocalListMaxLength": CHUNK, "LocalAuthListMaxLength": TOTAL}


class Store:
    folder = FOLDER


class Cp:
    """What the handlers need of a charge point."""

    def __init__(self):
        self.store = Store()
        self.config = VALUES
        self.counters = {}
        self.log = self
        self.errors = []

    def error(self, tag, what):
        self.errors.append(str(what))


def setup():
    os.mkdir(FOLDER)


def teardown():
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def request(first, count, number, kind):
    entries = ",".join(
        '{"idTag":"0412ABCD%012d","idTagInfo":{"status":"Accepted","expiryDate":"2030-01-01T00:00:00Z",'
        '"parentIdTag":"GROUP%015d"}}' % (n, n)
        for n in range(first, first + count)
    )
    return '[2,"id","SendLocalList",{"listVersion":%d,"updateType":"%s","localAuthorizationList":[%s]}]' % (
        number,
        kind,
        entries,
    )


def serve(cp, text):
    """The way of a message through the charge point."""
    _, _, action, payload, _ = rpc.unpack(text)
    cold("ocpp16.schema").check_request(action, payload)
    return asyncio.run(cold("ocpp16.profiles.local_auth").on_SendLocalList(cp, payload))["status"]


def test_a_thousand_tags():
    cp = Cp()
    auth_store = cold("ocpp16.auth_store")
    number = 0
    for first in range(0, TOTAL, CHUNK):
        number += 1
        status = serve(cp, request(first, CHUNK, number, "Differential" if first else "Full"))
        assert status == "Accepted", (first, status, cp.errors)
        gc.collect()
    assert auth_store.version(FOLDER) == number == 50
    for n in (0, 1, 499, 998, 999):
        entry = auth_store.look_up(FOLDER, auth_store.LIST, "0412abcd%012d" % n)
        assert entry == ["Accepted", 1_893_456_000, "GROUP%015d" % n]
    assert auth_store.look_up(FOLDER, auth_store.LIST, "0412ABCD%012d" % TOTAL) is None
    assert serve(cp, request(TOTAL, 1, 51, "Differential")) == "Failed"
    assert serve(cp, request(0, 2 * CHUNK, 51, "Full")) == "Failed"
    assert len(cp.errors) == 2 and auth_store.version(FOLDER) == 50
    assert serve(cp, request(1, CHUNK, 51, "Full")) == "Accepted"
    assert auth_store.look_up(FOLDER, auth_store.LIST, "0412ABCD%012d" % 0) is None


def test_looking_up_costs_little():
    cp = Cp()
    auth_store = cold("ocpp16.auth_store")
    for first in range(0, 200, CHUNK):
        serve(cp, request(first, CHUNK, first + 1, "Differential"))
    gc.collect()
    before = gc.mem_alloc()
    gc.disable()
    auth_store.look_up(FOLDER, auth_store.LIST, "0412ABCD%012d" % 199)
    used = gc.mem_alloc() - before
    gc.enable()
    size = os.stat(FOLDER + "/auth-list")[6]
    assert used < 8 * size, (used, size)  # garbage of a few blocks at a time, and nothing that stays
    gc.collect()
    assert gc.mem_alloc() - before < 1000
