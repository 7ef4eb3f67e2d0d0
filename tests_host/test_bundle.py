"""tools/bundle.py: keys, bundles, and what it says of a bad one. The charger's side: unit/test_update_install.py."""

import gzip
import io
import stat
import tarfile
import zlib
from pathlib import Path

import pytest

from tools import bundle, manifest

FILES = {"firmware/main.mpy": b"M\x06\x00\x1f" + b"main" * 900, "lib/clock.mpy": b"M\x06\x00\x1fclock"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The folder of a build: two files and a manifest."""
    out = tmp_path / "build" / "toy"
    for name, data in {**FILES, "firmware/boot.mpy": b"M\x06\x00\x1fboot"}.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    (tmp_path / "boards/toy").mkdir(parents=True)
    (tmp_path / "boards/toy/board.py").write_text('HAL = "esp32"\nCHIP = "esp32"\n')
    (tmp_path / manifest.VERSION_FILE).parent.mkdir(parents=True)
    (tmp_path / manifest.VERSION_FILE).write_text('VERSION = "1.2.3"\n')
    paths = [path.relative_to(out) for path in out.rglob("*.mpy")]
    (out / manifest.NAME).write_text(manifest.make(tmp_path, "toy", out, paths).text())
    return out


def _made(built: Path, kind: str = "ecdsa", name: str = "one") -> tuple[Path, Path, Path]:
    """(bundle, private key, public key)"""
    secret, public = bundle.make_keys(built.parent / "keys", name, kind)
    path = built.parent / f"{name}.tar.gz"
    path.write_bytes(bundle.make(built, secret))
    return path, secret, public


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_made_and_read(kind: str, built: Path) -> None:
    path, _, public = _made(built, kind)
    read = bundle.read(path)
    assert read.manifest.version == "1.2.3" and set(read.manifest.files) == {"main.mpy", "lib/clock.mpy"}
    assert bundle.is_signed_by(read, public)
    _, other = bundle.make_keys(built.parent / "keys", "two", "ecdsa")
    assert not bundle.is_signed_by(read, other)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["manifest.json", "manifest.sig", "lib/clock.mpy", "main.mpy"]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.type) for m in tar.getmembers()} == {(0, 0, 0, "", tarfile.REGTYPE)}


def test_the_same_bytes_each_time(built: Path) -> None:
    path, secret, _ = _made(built)
    for file in built.rglob("*.mpy"):
        file.touch()
    assert bundle.make(built, secret) == path.read_bytes()


def test_keys(tmp_path: Path) -> None:
    secret, public = bundle.make_keys(tmp_path / "new", "update", "ecdsa")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert b"PRIVATE" in secret.read_bytes() and b"BEGIN PUBLIC KEY" in public.read_bytes()
    before = secret.read_bytes()
    with pytest.raises(bundle.BundleError, match="is there already"):
        bundle.make_keys(tmp_path / "new", "update", "rsa")
    assert secret.read_bytes() == before


def test_a_build_that_is_not_what_its_manifest_says(built: Path) -> None:
    secret, public = bundle.make_keys(built.parent / "keys", "one", "ecdsa")
    with pytest.raises(bundle.BundleError, match="no private key"):
        bundle.make(built, public)
    with pytest.raises(bundle.BundleError, match="no private key"):
        bundle.make(built, built / "none")
    (built / "firmware/main.mpy").write_bytes(b"other")
    with pytest.raises(bundle.BundleError, match=r"main\.mpy is not what"):
        bundle.make(built, secret)
    (built / "firmware/main.mpy").unlink()
    with pytest.raises(bundle.BundleError, match=r"main\.mpy is not what"):
        bundle.make(built, secret)


def test_damaged_bundles(built: Path) -> None:
    path, _, _ = _made(built)
    whole = path.read_bytes()
    text = gzip.decompress(whole)

    def refused(data: bytes, match: str) -> None:
        path.write_bytes(data)
        with pytest.raises(bundle.BundleError, match=match):
            bundle.read(path)

    refused(b"", "cut off")
    refused(b"hello", "no bundle")
    for size in (30, len(whole) // 2, len(whole) - 9):
        refused(whole[:size], "cut off|no bundle")
    refused(_packed(text.replace(b"mainmain", b"mainMAIN", 1)), "not those of its manifest")
    with tarfile.open(fileobj=io.BytesIO(text)) as tar:
        member = tar.getmember("lib/clock.mpy")
    refused(_packed(text[: member.offset]), "not those of its manifest")
    refused(_packed(text[tarfile.BLOCKSIZE * 2 :]), "does not begin with")


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 26)
    return packer.compress(data) + packer.flush()


def test_command_line(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, out = built.parent / "k", built.parent / "x.tar.gz"
    assert bundle.main(["keys", "--out", str(keys)]) == 0
    assert bundle.main(["make", "--build", str(built), "--key", str(keys / "update.key.pem"), "--out", str(out)]) == 0
    assert "version 1.2.3 for toy" in capsys.readouterr().out
    assert bundle.main(["show", str(out), "--key", str(keys / "update.pem"), "--files"]) == 0
    said = capsys.readouterr().out
    assert "board        toy (esp32 esp32)" in said and "signature    good" in said and "lib/clock.mpy" in said
    bundle.make_keys(keys, "other", "ecdsa")
    assert bundle.main(["show", str(out), "--key", str(keys / "other.pem")]) == 1
    assert "NOT by the owner" in capsys.readouterr().out
    assert bundle.main(["show", str(out)]) == 0 and "not checked" in capsys.readouterr().out
    assert bundle.main(["show", str(built / "none")]) == 1
    assert bundle.main(["make", "--build", str(built.parent), "--key", str(keys / "update.key.pem")]) == 1
    assert "make build" in capsys.readouterr().err
