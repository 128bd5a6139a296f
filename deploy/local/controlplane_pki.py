"""Keys and certificates of the local control plane, made once and kept below its state folder.

Two authorities, as kubeadm has them: one for the API server, its clients and the node agent, one for etcd,
so that nobody but the API server can read the store. Private keys are files of mode 0600.
"""

import ipaddress
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict

_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)


class KeyPair(BaseModel):
    """Paths of a certificate and its private key, both PEM."""

    model_config = ConfigDict(frozen=True)

    cert: Path
    key: Path


class Pki(BaseModel):
    """Where every certificate, key and token of the control plane lies."""

    model_config = ConfigDict(frozen=True)

    ca: KeyPair
    etcd_ca: KeyPair
    etcd: KeyPair
    """etcd's own, and the API server's towards etcd."""
    apiserver: KeyPair
    kubelet: KeyPair
    """What the node agent serves logs with; valid for this machine's address."""
    kubelet_client: KeyPair
    """How the API server shows itself to the node agent."""
    controller_manager: KeyPair
    scheduler: KeyPair
    service_account_key: Path
    token_file: Path
    """Static tokens, as kube-apiserver's --token-auth-file reads them: the administrator's only."""
    token: str


def ensure_pki(folder: Path, address: str, service_address: str) -> Pki:
    """Make what is missing below `folder`, or near its end, or not valid for `address`; keep the rest.

    `address` is this machine's, `service_address` the cluster address of the service `kubernetes`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    local = ["localhost", "127.0.0.1"]
    in_cluster = [f"kubernetes{end}" for end in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    ca, etcd_ca = _ensure_ca(folder, "ca"), _ensure_ca(folder, "etcd-ca")
    token = _ensure_token(folder / "tokens.csv")
    return Pki(
        ca=ca,
        etcd_ca=etcd_ca,
        etcd=_ensure_leaf(folder, "etcd", etcd_ca, hosts=local),
        apiserver=_ensure_leaf(folder, "kube-apiserver", ca, hosts=[*local, service_address, *in_cluster]),
        kubelet=_ensure_leaf(folder, "kubelet", ca, hosts=[*local, address]),
        # In the group of administrators, as kubeadm makes it: the node agent asks nobody whether to serve it.
        kubelet_client=_ensure_leaf(folder, "kube-apiserver-kubelet-client", ca, group="system:masters"),
        controller_manager=_ensure_leaf(folder, "system:kube-controller-manager", ca),
        scheduler=_ensure_leaf(folder, "system:kube-scheduler", ca),
        service_account_key=_ensure_key(folder / "service-account.key"),
        token_file=folder / "tokens.csv",
        token=token,
    )


def write_private(path: Path, content: bytes) -> None:
    """Write `content` to a file that only the user can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.rename(path)


def _ensure_token(path: Path) -> str:
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(32)},admin,admin,system:masters\n".encode())
    return path.read_text().partition(",")[0]


def _ensure_key(path: Path) -> Path:
    if not path.exists():
        _write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return path


def _ensure_ca(folder: Path, name: str) -> KeyPair:
    pair = _pair(folder, name)
    if not pair.cert.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(f"kaitobus-{name}", None, key.public_key(), _CA_LIFE)
        builder = builder.issuer_name(_name(f"kaitobus-{name}", None))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(ca=True), critical=True)
        _write_pair(pair, key, builder.sign(key, hashes.SHA256()))
    return pair


def _ensure_leaf(
    folder: Path, name: str, authority: KeyPair, hosts: Sequence[str] = (), group: str | None = None
) -> KeyPair:
    pair = _pair(folder, name)
    if not _still_good(pair, hosts):
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(authority.cert.read_bytes())
        issuer_key = serialization.load_pem_private_key(authority.key.read_bytes(), None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{authority.key} is not an elliptic curve key")
        builder = _builder(name, group, key.public_key(), _LEAF_LIFE).issuer_name(issuer.subject)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        _write_pair(pair, key, builder.sign(issuer_key, hashes.SHA256()))
    return pair


def _still_good(pair: KeyPair, hosts: Sequence[str]) -> bool:
    if not pair.cert.exists():
        return False
    cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    if cert.not_valid_after_utc - datetime.now(UTC) < _RENEW_BEFORE:
        return False
    if not hosts:
        return True
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names) == {_general_name(host) for host in hosts}


def _builder(
    name: str, group: str | None, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    # An hour back, for clocks that are set after the certificate is made.
    start = datetime.now(UTC) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name, group))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
    )


def _name(common: str, group: str | None) -> x509.Name:
    """Name a subject: Kubernetes reads the user from CN and the groups from O."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_encipherment=False, key_cert_sign=ca, crl_sign=ca,
        content_commitment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pair(folder: Path, name: str) -> KeyPair:
    stem = name.removeprefix("system:")
    return KeyPair(cert=folder / f"{stem}.crt", key=folder / f"{stem}.key")


def _write_pair(pair: KeyPair, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
    # The key first: a certificate that is there means that both are.
    _write_key(pair.key, key)
    write_private(pair.cert, cert.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    plain = serialization.NoEncryption()
    pem = serialization.PrivateFormat.TraditionalOpenSSL
    write_private(path, key.private_bytes(serialization.Encoding.PEM, pem, plain))
