"""ocpp16.rpc: message arrays. Source: OCPP-J 1.6, section 4, and its errata sheet."""

import gc
import json

from ocpp16 import pack, rpc

UID36 = "0123456789abcdef0123456789abcdef0123"


def _malformed(text):
    try:
        got = rpc.unpack(text)
    except rpc.Malformed as exc:
        assert exc.code == "FormationViolation" and exc.description
        return exc
    raise AssertionError((text[:80], got))


def test_call():
    assert rpc.unpack('[2,"7","Reset",{"type":"Soft"}]') == (rpc.CALL, "7", "Reset", {"type": "Soft"}, None)
    assert rpc.unpack(' [ 2 , "7" , "ClearCache" , null ] ') == (2, "7", "ClearCache", {}, None)
    assert rpc.unpack('[2,"","ClearCache",{}]')[1] == ""  # odd, but a string: echoed
    assert rpc.unpack('[2,"%s","ClearCache",{}]' % UID36)[1] == UID36
    assert rpc.unpack('[2,"%s","ClearCache",{}]' % ("é" * 36))[1] == "é" * 36  # characters, not bytes


def test_result():
    assert rpc.unpack('[3,"7",{"status":"Accepted"}]') == (rpc.CALLRESULT, "7", {"status": "Accepted"}, None, None)
    assert rpc.unpack('[3,"7",null]') == (3, "7", {}, None, None)


def test_malformed_result_is_a_failed_request():
    for text in ('[3,"7"]', '[3,"7",[]]', '[3,"7","x"]', '[3,"7",{},{}]', '[3,"7",0]', '[3,"7",false]'):
        got = rpc.unpack(text)
        assert got[:3] == (rpc.CALLERROR, "7", "FormationViolation"), text
        assert len(got) == 5 and got[4] == {}


def test_error():
    assert rpc.unpack('[4,"7","NotSupported","no",{"a":1}]') == (4, "7", "NotSupported", "no", {"a": 1})
    for text, want in (
        ('[4,"7"]', ("GenericError", "", {})),
        ('[4,"7","InternalError"]', ("InternalError", "", {})),
        ('[4,"7","InternalError",null,null]', ("InternalError", "", {})),
        ('[4,"7",5,"x",[]]', ("GenericError", "x", {})),
        ('[4,"7","","x",{},1]', ("GenericError", "x", {})),
        ('[4,"7","OccurrenceConstraintViolation","",{}]', ("OccurrenceConstraintViolation", "", {})),
    ):
        assert rpc.unpack(text) == (rpc.CALLERROR, "7") + want, text


def test_nobody_to_answer():
    for text in (
        "",
        " ",
        "x",
        "null",
        "1",
        '"[2]"',
        "{}",
        '{"2":"7"}',
        "[]",
        "[2",
        '[2,"7","Reset",{"type":"Soft"}',
        '[2,"7","Reset",{"a":[1,2]',
        '[2,"7","Reset",{"type":"Soft',
        '[2,"7","Reset",{"type":"Soft"}}',
        '[2,"7","Reset",{"a":[1}]',
        '[2,"7","Reset",{}]]',
        '[2,"7","Reset",{}] x',
        '[2,"7","Reset",{]}',
        "[NaN]",
        "[null]",
        '["2","7","Reset",{}]',
        '[2.0,"7","Reset",{}]',
        '[true,"7","Reset",{}]',
        '[1,"7","Reset",{}]',  # message types that 1.6 does not have are ignored
        '[0,"7"]',
        '[5,"7","Reset",{}]',
        '[-2,"7"]',
        "[99999999999999999999]",
        "[2]",
        '[2,null,"Reset",{}]',
        '[2,true,"Reset",{}]',
        '[2,1.5,"Reset",{}]',
        '[2,["7"],"Reset",{}]',
        '[2,{"a":1},"Reset",{}]',
        "[3]",
        "[3,7,{}]",
        "[4,null]",
        '[2,"7","Reset",{"type":"\\u12"}]',
        '[2,"7","Reset",{"type":"\\u00zz"}]',
        '[2,"7","Reset",{"type":"\\u-123"}]',
        '["\\u0041"]\\',
        '["\\u0041"]\\u',
        '["\\ud83d\\u',
    ):
        assert _malformed(text).uid is None, text


def test_answerable():
    for text, uid in (
        ('[2,"7"]', "7"),
        ('[2,"7","Reset"]', "7"),
        ('[2,"7","Reset",{},{}]', "7"),
        ('[2,"7",{"type":"Soft"}]', "7"),
        ('[2,"7",5,{}]', "7"),
        ('[2,"7",null,{}]', "7"),
        ('[2,"7","Reset",[]]', "7"),
        ('[2,"7","Reset","{}"]', "7"),
        ('[2,"7","Reset",0]', "7"),
        ('[2,"7","Reset",false]', "7"),
        ('[2,"7","Reset",""]', "7"),
        ('[2,7,"Reset",{}]', 7),
        ('[2,"%sx","Reset",{}]' % UID36, UID36 + "x"),
        ('[2,"%s","Reset",{}]' % ("y" * 5000), "y" * 255),
    ):
        exc = _malformed(text)
        assert exc.uid == uid and type(exc.uid) is type(uid), text
        echoed = json.loads(pack.error(exc.uid, exc.code, exc.description))
        assert echoed[:3] == [4, uid, "FormationViolation"]


def _nested(levels):
    """A CALL whose deepest bracket is at this level."""
    inner = levels - 2
    return '[2,"7","DataTransfer",{"a":%s}]' % ("[" * inner + "]" * inner)


def test_depth():
    assert rpc.unpack(_nested(10))[1] == "7"
    assert _malformed(_nested(11)).uid == "7"
    assert _malformed(_nested(5000)).uid == "7"
    assert _malformed("[" * 5000).uid is None
    assert _malformed('{"a":' * 3000).uid is None
    assert _malformed('[2,"7","X",[' + '{"a":' * 3000).uid == "7"
    assert _malformed('[2,"a\\"[b","X" , ' + "[" * 20).uid == 'a"[b'
    assert _malformed('[2,"%s","X",%s' % ("z" * 400, "[" * 20)).uid == "z" * 255
    for head in ("[3,", "[2,[", '[2,"7",[', '["2","7","X",', "[2,7", '[2,"\\u00zz'):
        exc = _malformed(head + "[" * 20)
        assert exc.uid is None, head


def test_brackets_in_strings_do_not_count():
    deep = "[{" * 300
    text = pack.dumps([2, "7", "DataTransfer", {"vendorId": "v", "data": deep}])
    assert rpc.unpack(text)[3]["data"] == deep
    quoted = '\\"[\\' * 300
    text = pack.dumps([2, "7", "DataTransfer", {"vendorId": "v", "data": quoted}])
    assert rpc.unpack(text)[3]["data"] == quoted


def test_long_strings_pass_many_values_do_not():
    long = "x" * 12000
    assert rpc.unpack('[2,"7","CertificateSigned",{"certificateChain":"%s"}]' % long)[3] == {"certificateChain": long}
    blanks = " \n\t" * 4000
    assert rpc.unpack('[2,"7","ClearCache",%s{}]' % blanks)[3] == {}
    for many in ("1," * 2500 + "1", "1 " * 4500, '"" ' * 4500, "{}," * 1500 + "{}", "9" * 4500):
        gc.collect()
        assert _malformed('[2,"7","X",{"a":[%s]}]' % many).uid == "7"


def test_escapes():
    for escaped, want in (
        ("\\u0041", "A"),
        ("\\u00e9\\u20ac", "é€"),
        ("\\ud83d\\ude00", "😀"),
        ("x\\uD83D\\uDE00y", "x😀y"),
        ("\\udbff\\udfff", "\U0010ffff"),
        ("\\ud83d", "\ufffd"),
        ("\\ude00", "\ufffd"),
        ("a\\ud83db", "a\ufffdb"),
        ("\\ud83d\\ud83d\\ude00", "\ufffd😀"),
        ("\\ud83d\\n\\ude00", "\ufffd\n\ufffd"),
        ("\\ud83d\\u0041", "\ufffdA"),
        ("\\\\ud83d", "\\ud83d"),
        ("\\\\\\ud83d\\ude00", "\\😀"),
        ("\\\\u12", "\\u12"),
        ("\\ud83d\\\\ude00", "\ufffd\\ude00"),
        ("\\u005cu0041", "\\u0041"),
        ("é\\u0041", "éA"),
    ):
        got = rpc.unpack('[2,"7","X",{"a":"%s"}]' % escaped)[3]["a"]
        assert got == want, (escaped, got)
        assert got.encode().decode() == got  # it is UTF-8: it can be sent back


def test_pack():
    assert pack.result("7", {}) == '[3,"7",{}]'
    assert pack.result("7", {"status": "Accepted"}) == '[3,"7",{"status":"Accepted"}]'
    assert pack.result("7", {"a": [1, True, "x"]}) == '[3,"7",{"a":[1,true,"x"]}]'
    assert pack.result("7", '{"limit":16.5}') == '[3,"7",{"limit":16.5}]'
    assert "".join(pack.result("7", ['{"limit":', "16.5}"])) == '[3,"7",{"limit":16.5}]'
    assert pack.error("7", "NotImplemented") == '[4,"7","NotImplemented","",{}]'
    assert pack.error("7", "InternalError", "why", {"a": 1}) == '[4,"7","InternalError","why",{"a":1}]'
    assert len(json.loads(pack.error("7", "InternalError", "é" * 400))[3]) == 255


def test_pack_escapes():
    for nasty in ('"', "\\", "a\\", "\n\r\t", "\x00\x01\x1f\x7f", "é😀\u2028", "</script>", '","x'):
        for text, at in (
            (pack.result(nasty, {nasty: nasty}), 1),
            (pack.error(nasty, "GenericError", nasty, {nasty: 1}), 1),
        ):
            message = json.loads(text)
            assert message[at] == nasty
            for char in text:
                assert char >= " ", text  # control characters are escaped
        assert json.loads(pack.result("7", {nasty: nasty}))[2] == {nasty: nasty}
        assert json.loads(pack.error("7", "GenericError", nasty))[3] == nasty


def test_truncated_and_flipped_texts_raise_nothing_else():
    text = '[2,"a\\u00e9","SetChargingProfile",{"id":1,"p":{"x":[{"limit":7.5,"t":"\\ud83d\\ude00"},null,true]}}]'
    for at in range(len(text)):
        for char in ("", "[", "}", '"', "\\", ",", "0", "-", "e", "\x00", "é", "u"):
            for variant in (text[:at] + char, text[:at] + char + text[at + 1 :]):
                try:
                    rpc.unpack(variant)
                except rpc.Malformed:
                    pass


def test_many_escapes_need_no_more_memory_than_the_text():
    text = '[2,"7","X",{"a":"%s"}]' % ("\\ud83d\\ude00\\u00e9" * 800)
    gc.collect()
    assert rpc.unpack(text)[3]["a"] == "😀é" * 800
