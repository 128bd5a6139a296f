"""The machine's package sources, copied with `deb-src` switched on."""

from pathlib import Path

from deploy.local.binaries.apt import copy_sources

STANZAS = """Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb deb-src
URIs: http://security.example/debian
Suites: bookworm-security
Components: main
"""


def copied(tmp_path: Path, name: str, text: str) -> str:
    system, private = tmp_path / "system", tmp_path / "private"
    (system / "sources.list.d").mkdir(parents=True)
    (system / name).write_text(text)
    copy_sources(system, private)
    return (private / name).read_text()


def test_stanzas_ask_for_sources_too(tmp_path: Path) -> None:
    text = copied(tmp_path, "sources.list.d/debian.sources", STANZAS)
    assert text == STANZAS.replace("Types: deb\n", "Types: deb deb-src\n")


def test_lines_ask_for_sources_too(tmp_path: Path) -> None:
    text = copied(tmp_path, "sources.list", "# off: deb http://x y\ndeb [arch=amd64] http://mirror.example b main\n")
    line = "[arch=amd64] http://mirror.example b main"
    assert text == f"deb {line}\ndeb-src {line}\n"


def test_what_is_switched_off_stays_off(tmp_path: Path) -> None:
    system = tmp_path / "system/sources.list.d"
    system.mkdir(parents=True)
    (system / "other.sources.disabled").write_text(STANZAS)
    copy_sources(tmp_path / "system", tmp_path / "private")
    assert list((tmp_path / "private/sources.list.d").iterdir()) == []
