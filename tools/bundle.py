"""Bundles for UpdateFirmware, and the keys that sign them: `python -m tools.bundle keys|make|show`.

A bundle is a tar archive of a build, packed with gzip: manifest.json first, then manifest.sig (the signature over its
SHA-256), then the files of the manifest in its order; firmware/charger/bundle.py reads it. The same build and the same
ECDSA key give the same bytes (RFC 6979). RSA-PSS draws a salt: there manifest.sig differs each time.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tools import manifest
from tools.manifest import Manifest, ManifestError

ROOT = Path(__file__).resolve().parent.parent
SIGNATURE = "manifest.sig"
LARGEST = 1 << 20  # bytes that a charger takes: firmware/charger/installer.py
_WINDOW = 10  # log2; the charger has no 32 kB in one piece, and 10 % larger bundles are a fair price
_KINDS = ("ecdsa", "rsa")
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class BundleError(Exception):
    """It cannot be done; the text is for the user."""


@dataclass(frozen=True)
class Bundle:
    """What was read from one. text -- of its manifest; signature -- over that"""

    manifest: Manifest
    text: bytes
    signature: bytes
    size: int


def make_keys(folder: Path, name: str, kind: str) -> tuple[Path, Path]:
    """Write NAME.key.pem (private, for its owner alone) and NAME.pem (public, for the chargers); return both paths."""
    private: Private
    if kind == "rsa":
        private = rsa.generate_private_key(65537, 3072)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    secret, public = folder / f"{name}.key.pem", folder / f"{name}.pem"
    for path in (secret, public):
        if path.exists():
            raise BundleError(f"{path} is there already: chargers may trust it. Choose another --name.")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return secret, public


def make(build: Path, key: Path) -> bytes:
    """The bundle of a build's folder, signed with the private key in that file. BundleError: see there."""
    about = manifest.read(build / manifest.NAME)
    text = (build / manifest.NAME).read_bytes()
    sources = manifest.on_device(path.relative_to(build) for path in build.rglob("*.mpy"))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, manifest.NAME, text)
        _add(tar, SIGNATURE, sign(text, _private(key)))
        for path, entry in sorted(about.files.items()):
            source = sources.get(path)
            data = (build / source).read_bytes() if source else b""
            if source is None or (len(data), hashlib.sha256(data).hexdigest()) != entry:
                raise BundleError(f"{path} is not what {build / manifest.NAME} says: build again")
            _add(tar, path, data)
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + _WINDOW)
    packed = packer.compress(out.getvalue()) + packer.flush()
    if len(packed) > LARGEST:
        raise BundleError(f"{len(packed):,} bytes are more than a charger takes ({LARGEST:,})")
    return packed


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # no times, no owners: the same build gives the same bundle
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def sign(text: bytes, key: Private) -> bytes:
    """ECDSA in DER, or RSASSA-PSS, over the SHA-256 of the text."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, _PSS, hashes.SHA256())
    return key.sign(text, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def _private(path: Path) -> Private:
    try:
        key = form.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as exc:
        raise BundleError(f"{path} is no private key that can be used: {exc}") from None
    if isinstance(key, rsa.RSAPrivateKey) and 2048 <= key.key_size <= 4096:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise BundleError(f"{path}: chargers know ECDSA P-256, and RSA with 2048 to 4096 bits")


def read(path: Path) -> Bundle:
    """Read a bundle and compare every file with the manifest; the signature is another matter. BundleError: damaged."""
    try:
        packed = path.read_bytes()
        unpacker = zlib.decompressobj(16 + _WINDOW)
        data = unpacker.decompress(packed)
        if not unpacker.eof:
            raise BundleError(f"{path} is cut off")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = tar.getmembers()
            contents = [(member.name, _content(tar, member)) for member in members]
    except (OSError, zlib.error, tarfile.TarError) as exc:
        raise BundleError(f"{path} is no bundle: {exc}") from None
    if [name for name, _ in contents[:2]] != [manifest.NAME, SIGNATURE]:
        raise BundleError(f"{path} does not begin with {manifest.NAME} and {SIGNATURE}")
    text, signature = contents[0][1], contents[1][1]
    try:
        about = manifest.parse(text.decode())
    except (ManifestError, UnicodeError) as exc:
        raise BundleError(f"{path}: {exc}") from None
    found = [(name, (len(content), hashlib.sha256(content).hexdigest())) for name, content in contents[2:]]
    if found != sorted(about.files.items()):
        raise BundleError(f"{path}: its files are not those of its manifest")
    return Bundle(about, text, signature, len(packed))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise BundleError(f"{member.name} is not a file")
    return file.read()


def is_signed_by(bundle: Bundle, key: Path) -> bool:
    """Has the owner of this public key signed it? BundleError: no such key."""
    try:
        public = form.load_pem_public_key(key.read_bytes())
    except (OSError, ValueError) as exc:
        raise BundleError(f"{key} is no public key: {exc}") from None
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(bundle.signature, bundle.text, _PSS, hashes.SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(bundle.signature, bundle.text, ec.ECDSA(hashes.SHA256()))
        else:
            raise BundleError(f"{key}: chargers know ECDSA P-256 and RSA")
    except InvalidSignature:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bundle", description="Bundles for updates over OCPP.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="make a pair of keys", description="Make a pair of keys.")
    keys.add_argument("--out", type=Path, default=Path("keys"), help="folder (keys)")
    keys.add_argument("--name", default="update", help="of the files: NAME.key.pem, NAME.pem (update)")
    keys.add_argument("--kind", choices=_KINDS, default="ecdsa", help="ecdsa: P-256; rsa: 3072 bits, PSS (ecdsa)")
    maker = commands.add_parser("make", help="make a bundle of a build", description="Make a bundle of a build.")
    maker.add_argument("--board", default="sim", help="its build/BOARD is taken (sim); see make build")
    maker.add_argument("--build", type=Path, help="another folder of a build")
    maker.add_argument("--key", type=Path, required=True, help="private key, NAME.key.pem")
    maker.add_argument("--out", type=Path, help="file (BUILD/BOARD-VERSION.tar.gz)")
    show = commands.add_parser("show", help="show and check a bundle", description="Show and check a bundle.")
    show.add_argument("bundle", type=Path)
    show.add_argument("--key", type=Path, help="public key: check the signature, too")
    show.add_argument("--files", action="store_true", help="list the files")
    return parser


def main(words: list[str] | None = None) -> int:
    """Return the exit status: 0; 1: it did not work, or the signature is not that of the key."""
    options = _parser().parse_args(words)
    try:
        if options.command == "keys":
            return _keys(options)
        if options.command == "make":
            return _make(options)
        return _show(options)
    except (BundleError, ManifestError) as exc:
        print(exc, file=sys.stderr)
        return 1


def _keys(options: argparse.Namespace) -> int:
    secret, public = make_keys(options.out, options.name, options.kind)
    print(f"{secret}: signs. Keep it safe and out of every repository; who has it can change every charger.")
    print(f"{public}: for the folder /data/keys of every charger (setting update.keys).")
    return 0


def _make(options: argparse.Namespace) -> int:
    build = options.build or ROOT / "build" / options.board
    data = make(build, options.key)
    about = manifest.read(build / manifest.NAME)
    out = options.out or build / f"{about.board}-{about.version}.tar.gz"
    out.write_bytes(data)
    print(f"{out}: version {about.version} for {about.board}, {len(data):,} bytes, sha256 {_digest(data)}")
    return 0


def _show(options: argparse.Namespace) -> int:
    bundle = read(options.bundle)
    about = bundle.manifest
    print(f"version      {about.version}\nboard        {about.board} ({f'{about.port} {about.chip}'.strip()})")
    print(f"MicroPython  {about.micropython} or later, .mpy {about.mpy} {about.arch}".rstrip())
    print(f"files        {len(about.files)}, {about.total:,} bytes; {bundle.size:,} packed")
    if options.files:
        for path, (size, digest) in sorted(about.files.items()):
            print(f"  {size:7,}  {digest[:16]}  {path}")
    if options.key is None:
        print("signature    not checked: --key NAME.pem does")
        return 0
    good = is_signed_by(bundle, options.key)
    print(f"signature    {'good' if good else 'NOT by the owner of'} {options.key}")
    return 0 if good else 1


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
