"""The table of commands and the modules that carry them out."""

from charger.commands import help, table


def found(text):
    try:
        return table.find(text)
    except ValueError as exc:
        return str(exc)


def test_every_command_has_its_help():
    told = list(help.rows())
    assert sorted([row[0] for row in told]) == sorted([row[0] for row in table.rows()])
    assert all([row[2] and row[2][-1] != "." for row in told])


def test_every_command_has_its_place_in_its_module():
    count = {}
    for name, path, number, changes in table.rows():
        assert table.find(name) == (path, number, changes)
        assert number == count.get(path, 0)
        count[path] = number + 1
    for path, n in count.items():
        module = __import__(path, None, None, ("*",))
        assert len(module.COMMANDS) == n, path
        assert len(set(module.COMMANDS)) == n, path
    guarded = [row[0] for row in table.rows() if row[3]]
    assert "set" in guarded and "factory-reset" in guarded and "python" in guarded and "status" not in guarded


def test_names_may_be_shortened_while_they_are_clear():
    assert found("stat") == found("  status now ") == found("status")
    assert found("set x") == found("set")  # whole, although setup begins so, too
    assert found("se").startswith("Unclear: session, set, setup") and "no such" in found("x")


def test_what_may_follow():
    assert "status" in table.candidates("st") and table.candidates("log f") == ["follow"]
    assert "power.max_ma" in table.candidates("set p") and "set" in table.candidates("help s")
    assert table.candidates("set power.offline_limits ") == ["true", "false"]
    assert table.candidates("set meter.register l") == ["session", "lifetime"]
    assert table.candidates("set no.such ") == table.candidates("status x") == table.candidates("set a b c") == []


def test_unknown_settings_are_hidden_like_secrets():
    assert table.is_hidden("wifi.password") and table.is_hidden("wifi.passwort") and not table.is_hidden("wifi.ssid")
