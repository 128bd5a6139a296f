"""Decisions of the build from source."""

from pathlib import Path

from deploy.local.binaries.kubernetes_source import go_environment, openapi_packages


def test_packages_that_ask_for_openapi_are_named_as_go_imports_them(tmp_path: Path) -> None:
    for folder, text in {
        "pkg/apis/abac/v0": "// +k8s:openapi-gen=true\npackage v0",
        "pkg/apis/core": "package core",
        "staging/src/k8s.io/api/core/v1": "// +k8s:openapi-gen=true\npackage v1",
        "staging/src/k8s.io/sample-apiserver/v1": "// +k8s:openapi-gen=true\npackage v1",
        "staging/src/k8s.io/code-generator/_examples/v1": "// +k8s:openapi-gen=true\npackage v1",
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "doc.go").write_text(text)
    assert openapi_packages(tmp_path) == [
        "k8s.io/kubernetes/pkg/apis/abac/v0",
        "k8s.io/kubernetes/vendor/k8s.io/api/core/v1",
    ]


def test_the_users_own_go_settings_do_not_reach_the_build() -> None:
    users = {"GOFLAGS": "-mod=mod", "GOPATH": "/home/ada/go", "PATH": "/usr/bin"}
    env = go_environment(Path("/c/go"), Path("/c/gopath"), Path("/c/cache"), users)
    assert "GOFLAGS" not in env
    assert env["GOPATH"] == "/c/gopath"
    assert env["PATH"] == "/c/go/bin:/usr/bin"
    assert env["GO111MODULE"] == "off"
