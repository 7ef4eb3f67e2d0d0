"""A certificate authority and a server certificate for benches: `wss` that a charge point can really verify."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """PEM files: `ca_file` for the charge point, the other two for the server."""

    ca_file: Path
    certificate_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """For `BenchCsms(ssl=...)`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def make_certificates(directory: Path, host: str, days: int = 7) -> Certificates:
    """Write a new authority and a certificate for `host` (a name or an IP address), both valid from yesterday for
    `days` days (negative: expired). The authority's key is not kept."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench authority")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)

    def certificate(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1 + abs(days)))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    for path, made in (
        (files.ca_file, certificate(ca_name, ca_key.public_key(), True)),
        (files.certificate_file, certificate(server_name, key.public_key(), False)),
    ):
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key_file.touch(mode=0o600)
    files.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
