"""Set-up on machines unlike this one: apt sources, os-release, interpreters that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools import python_env, toolchain
from tools.rootless_apt import AptError, Source, configured_sources, main_archive, os_release

DEB822 = """\
# written by the installer
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://vendor.example/x http://vendor2.example/x
Suites: bookworm
Components: stable
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian trixie main non-free # end
deb cdrom:[Debian]/ trixie main
"""


def apt_folder(tmp_path: Path, **files: str) -> list[Source]:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / "sources.list.d" / name.replace("_", ".")).write_text(text)
    return configured_sources(tmp_path)


def test_deb822_sources(tmp_path: Path) -> None:
    sources = apt_folder(tmp_path, debian_sources=DEB822, debian_save=DEB822)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert sources[0] == Source(
        "http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main", "contrib"), keyring
    )
    assert [s.uri for s in sources[1:]] == [
        "http://mirror.example/debian-security",
        "http://vendor.example/x",
        "http://vendor2.example/x",
    ]
    assert "BEGIN PGP" in sources[2].signed_by
    assert main_archive(sources, "bookworm") is sources[0]


def test_one_line_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    sources = apt_folder(tmp_path)
    first = Source("http://mirror.example/debian", ("trixie",), ("main", "non-free"), "/usr/share/keyrings/k.gpg")
    assert sources[0] == first
    assert main_archive(sources, "trixie") == first


def test_no_mirror_is_said_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(AptError, match="add the distribution's mirror"):
        main_archive(apt_folder(tmp_path), "bookworm")


def test_os_release(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text('ID=ubuntu\nID_LIKE="debian"\nPRETTY_NAME="Ubuntu 24.04 LTS"\n# x=y\n\n')
    assert os_release(path) == {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 24.04 LTS"}
    assert os_release(tmp_path / "missing") == {}


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "micropython"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_probe_accepts_ours() -> None:
    found = toolchain.probe(str(ROOT / ".toolchain/bin/micropython"))
    assert not isinstance(found, str)
    assert found[0] >= toolchain.MINIMUM and found[1] == 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo '[[1, 22, 1], 64]'", "is MicroPython 1.22.1, at least 1.25.0 is needed"),
        ("echo \"ImportError: no module named 'tls'\" >&2; exit 1", "not a standard unix port (ImportError: no module"),
        ("echo hello", "is not MicroPython"),
        ("exit 3", "exit status 3"),
    ],
)
def test_probe_says_why_not(tmp_path: Path, text: str, reason: str) -> None:
    found = toolchain.probe(program(tmp_path, text))
    assert isinstance(found, str) and reason in found


def test_named_interpreter_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "HOME", tmp_path / "toolchain")
    monkeypatch.setenv("MICROPYTHON", program(tmp_path, "echo '[[1, 25, 0], 32]'"))
    with pytest.raises(toolchain.ToolchainError, match="a 64-bit one is needed"):
        toolchain.interpreters()
    monkeypatch.setenv("MICROPYTHON", str(tmp_path / "missing"))
    with pytest.raises(toolchain.ToolchainError, match="correct or unset MICROPYTHON"):
        toolchain.interpreters()


def test_named_interpreters_are_used_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "64").mkdir()
    (tmp_path / "it's 32").mkdir()
    wide = program(tmp_path / "64", "echo '[[1, 27, 0], 64]'")
    narrow = program(tmp_path / "it's 32", "echo '[[1, 25, 0], 32]'")
    monkeypatch.setattr(toolchain, "HOME", tmp_path / "toolchain")
    monkeypatch.setenv("MICROPYTHON", wide)
    monkeypatch.setenv("MICROPYTHON32", narrow)
    assert toolchain.interpreters() == {"micropython": wide, "micropython32": narrow}
    assert toolchain.probe(str(tmp_path / "toolchain/bin/micropython32")) == ((1, 25, 0), 32)
    assert "micropython 1.27.0 is ready" in capsys.readouterr().out
    assert toolchain.interpreters() == {"micropython": wide, "micropython32": narrow}
    assert capsys.readouterr().out == ""  # the second time there is nothing to do
    Path(narrow).unlink()
    with pytest.raises(toolchain.ToolchainError, match="MICROPYTHON32"):
        toolchain.interpreters()


def test_without_32_bit_the_reason_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "HOME", tmp_path / "toolchain")
    monkeypatch.setenv("MICROPYTHON", program(tmp_path, "echo '[[1, 25, 0], 64]'"))
    monkeypatch.delenv("MICROPYTHON32", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert list(toolchain.interpreters()) == ["micropython"]
    reason = (tmp_path / "toolchain/micropython32.reason").read_text()
    assert "do not run on" in reason and "aarch64" in reason


def test_lock_files_have_hashes_and_no_hosts() -> None:
    for name in ("requirements.lock", "requirements-stubs.lock"):
        text = (ROOT / "tools" / name).read_text()
        pins = [line for line in text.splitlines() if "==" in line]
        assert pins and all(line.endswith("\\") for line in pins)
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_environment_is_ready() -> None:
    assert python_env.is_ready(ROOT)
