"""Keys and certificates are made once, and again only when they have to be."""

from pathlib import Path

from cryptography import x509

from deploy.local.controlplane_pki import KeyPair, Pki, ensure_pki


def pki(tmp_path: Path, address: str = "10.1.2.3") -> Pki:
    return ensure_pki(tmp_path / "pki", address, "10.96.0.1")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.cert.read_bytes())


def addresses(pair: KeyPair) -> set[str]:
    names = certificate(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(address) for address in names.get_values_for_type(x509.IPAddress)}


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    first, before = pki(tmp_path), content(tmp_path / "pki")
    assert pki(tmp_path) == first
    assert content(tmp_path / "pki") == before


def test_a_new_address_renews_the_node_agents_certificate_alone(tmp_path: Path) -> None:
    pki(tmp_path)
    before = content(tmp_path / "pki")
    renewed = pki(tmp_path, "10.9.9.9")
    after = content(tmp_path / "pki")
    assert {name for name in after if after[name] != before[name]} == {"kubelet.crt", "kubelet.key"}
    assert addresses(renewed.kubelet) == {"127.0.0.1", "10.9.9.9"}


def test_the_api_server_is_known_by_its_service_address_too(tmp_path: Path) -> None:
    assert addresses(pki(tmp_path).apiserver) == {"127.0.0.1", "10.96.0.1"}


def test_etcd_trusts_another_authority_than_the_api_server(tmp_path: Path) -> None:
    made = pki(tmp_path)
    certificate(made.etcd).verify_directly_issued_by(certificate(made.etcd_ca))
    certificate(made.scheduler).verify_directly_issued_by(certificate(made.ca))
    assert certificate(made.ca).public_key() != certificate(made.etcd_ca).public_key()


def test_every_file_is_the_users_alone(tmp_path: Path) -> None:
    pki(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
