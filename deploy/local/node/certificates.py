"""TLS of the log server: a certificate of the agent's own where none is given."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.node.options import NodeOptions
from deploy.local.state import write_private

_LIFE = timedelta(days=365)


def tls_context(options: NodeOptions, address: str) -> ssl.SSLContext:
    """How logs are served. With a client authority, only its clients are let in.

    Raises OSError, ssl.SSLError when the files given cannot be used.
    """
    if options.tls_cert and options.tls_key:
        cert, key = options.tls_cert, options.tls_key
    else:
        cert, key = options.state_dir / "tls.crt", options.state_dir / "tls.key"
        _make_self_signed(cert, key, options.name, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if options.client_ca:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _make_self_signed(cert_path: Path, key_path: Path, name: str, address: str) -> None:
    """Made anew at each start: nobody can have pinned it, and so it never runs out."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{name}"[:64])])
    start = datetime.now(UTC) - timedelta(hours=1)  # For clocks that are set later.
    addresses = {ipaddress.ip_address(address), ipaddress.ip_address("127.0.0.1")}
    names = [*(x509.IPAddress(one) for one in addresses), x509.DNSName("localhost")]
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    write_private(key_path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    write_private(cert_path, cert.public_bytes(pem))
