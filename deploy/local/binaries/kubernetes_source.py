"""Builds the control plane from Debian's source packages, for machines that cannot reach the releases.

Debian bookworm carries the whole source tree of Kubernetes 1.20.2, dependencies included. Go builds it in
GOPATH mode; module mode refuses a go.mod of that age. Three things make it work with a Go of today:

- reflect2 as vendored panics at the first map that it walks; Debian has a later one, which is put in its place;
- `pkg/generated/openapi` is not part of the tree and is generated with the tree's own openapi-gen;
- `-checklinkname=0`, because old dependencies reach into Go's runtime by name.

Each step leaves a folder that is whole or not there, so that a build that was stopped goes on where it was.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.local.binaries.apt import Apt
from deploy.local.binaries.command import run
from deploy.local.binaries.folders import made_whole
from deploy.local.binaries.model import NAMES, Binaries, BinariesError, Progress
from deploy.local.binaries.toolchain import ensure_go

VERSION = "1.20.2"

_SOURCE = "kubernetes"
_REFLECT2 = "golang-github-modern-go-reflect2-dev"
_ETCD = "etcd-server"
_TREE = Path("src/k8s.io/kubernetes")
_VENDOR = "k8s.io/kubernetes/vendor/k8s.io"
_OPENAPI = Path("pkg/generated/openapi")
_OPENAPI_TAG = "+k8s:openapi-gen="
_NEEDED_BYTES = 5 * 1024**3
_COMPILE_LIMIT_S = 3600.0


async def build_from_source(cache: Path, progress: Progress) -> Binaries:
    """Build into `cache`/v1.20.2 and return the programs. Raises BinariesError with what to do.

    Takes about 7 minutes of two processors and 4 GB of disk, which are given back at the end. The caller
    sees to it that no other process builds in the same cache.
    """
    work = cache / "build"
    work.mkdir(parents=True, exist_ok=True)
    _check_room(work)
    log = work / "build.log"
    progress(f"building Kubernetes {VERSION} from Debian's source, once, about 7 minutes; log: {log}")
    try:
        target = await _build(cache, work, log, progress)
    except BinariesError as error:
        raise BinariesError(_advice(error)) from error
    shutil.rmtree(work, ignore_errors=True)
    return Binaries.in_folder(target)


async def _build(cache: Path, work: Path, log: Path, progress: Progress) -> Path:
    packages = await _fetch(work / "packages", log, progress)
    go_root = await ensure_go(work / "go", log, progress)
    gopath = await _unpack(work, packages, log, progress)
    env = go_environment(go_root, gopath, work / "go-build", os.environ)
    await _generate_openapi(gopath / _TREE, env, log, progress)
    target = cache / f"v{VERSION}"
    with made_whole(target) as draft:
        await _compile(gopath / _TREE, env, draft, log, progress)
        await _add_etcd(packages, draft, log)
    return target


def go_environment(go_root: Path, gopath: Path, cache: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the Go compiler: nothing of the user's own Go settings, and no network."""
    return {
        "PATH": f"{go_root / 'bin'}:{env.get('PATH', os.defpath)}",
        "HOME": str(cache),
        "GOROOT": str(go_root),
        "GOPATH": str(gopath),
        "GOCACHE": str(cache),
        "GOENV": "off",
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOTELEMETRY": "off",
        "CGO_ENABLED": "0",
    }


async def _fetch(folder: Path, log: Path, progress: Progress) -> Path:
    if not folder.exists():
        progress("fetching Debian's packages: source of Kubernetes (35 MB), etcd (8 MB)")
        apt = Apt(folder.with_name("apt"), log)
        await apt.update()
        with made_whole(folder) as draft:
            await apt.download_source(_SOURCE, draft)
            await apt.download([_REFLECT2, _ETCD], draft)
            _only(draft, f"kubernetes_*{VERSION}*.orig.tar.*")
    return folder


async def _unpack(work: Path, packages: Path, log: Path, progress: Progress) -> Path:
    """Lay out a GOPATH with the source tree and the newer reflect2 in it."""
    gopath = work / "gopath"
    if not gopath.exists():
        progress("unpacking the source")
        with made_whole(gopath) as draft:
            tree = draft / _TREE
            tree.mkdir(parents=True)
            tarball = _only(packages, "kubernetes_*.orig.tar.*")
            # tar rather than tarfile, because it keeps the links below vendor/k8s.io, which the build needs.
            await run(["tar", "-xf", str(tarball), "-C", str(tree), "--strip-components=1"], log=log)
            await _replace_reflect2(packages, tree, work / "reflect2", log)
    return gopath


async def _replace_reflect2(packages: Path, tree: Path, scratch: Path, log: Path) -> None:
    await run(["dpkg", "-x", str(_only(packages, f"{_REFLECT2}_*.deb")), str(scratch)], log=log)
    module = Path("github.com/modern-go/reflect2")
    shutil.rmtree(tree / "vendor" / module)
    shutil.copytree(scratch / "usr/share/gocode/src" / module, tree / "vendor" / module)


async def _generate_openapi(tree: Path, env: dict[str, str], log: Path, progress: Progress) -> None:
    generated = tree / _OPENAPI / "zz_generated.openapi.go"
    if generated.exists():
        return
    progress("generating the OpenAPI definitions")
    with made_whole(tree.parents[3] / "openapi") as draft:
        generator = draft / "openapi-gen"
        build = _go_build(generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen")
        await run(build, log=log, env=env, cwd=tree, limit_s=_COMPILE_LIMIT_S)
        argv = [
            str(generator),
            f"--go-header-file={tree / 'vendor/k8s.io/code-generator/hack/boilerplate.go.txt'}",
            f"--input-dirs={','.join(openapi_packages(tree))}",
            f"--output-package=k8s.io/kubernetes/{_OPENAPI}",
            "--output-file-base=zz_generated.openapi",
            f"--output-base={draft}",
            f"--report-filename={draft / 'violations'}",
        ]
        await run(argv, log=log, env=env, cwd=tree)
        (draft / "k8s.io/kubernetes" / _OPENAPI / generated.name).rename(generated)


def openapi_packages(tree: Path) -> list[str]:
    """Return the import paths of all packages that ask for OpenAPI definitions; in 1.20.2 they are 80.

    The tree's own Makefile leaves the same two examples out.
    """
    left_out = {"code-generator", "sample-apiserver"}
    files = [*(tree / "pkg").rglob("*.go"), *(tree / "staging/src").rglob("*.go")]
    found = {path.parent.relative_to(tree) for path in files if _OPENAPI_TAG in path.read_text()}
    return sorted(_import_path(folder) for folder in found if not left_out & set(folder.parts))


def _import_path(folder: Path) -> str:
    staging = Path("staging/src")
    inside = Path("vendor") / folder.relative_to(staging) if folder.is_relative_to(staging) else folder
    return f"k8s.io/kubernetes/{inside}"


async def _compile(tree: Path, env: dict[str, str], into: Path, log: Path, progress: Progress) -> None:
    progress("compiling kube-apiserver, kube-controller-manager, kube-scheduler")

    def beat(seconds: float) -> None:
        progress(f"compiling, {seconds:.0f} s so far")

    commands = [f"./cmd/{name}" for name in NAMES if name != "etcd"]
    argv = _go_build(into, "-ldflags", _linker_flags(), *commands)
    await run(argv, log=log, env=env, cwd=tree, limit_s=_COMPILE_LIMIT_S, beat=beat)


def _go_build(output: Path, *arguments: str) -> list[str]:
    # More than four compilers side by side may need more memory than a small machine has.
    parallel = min(os.cpu_count() or 1, 4)
    target = f"{output}/" if output.is_dir() else str(output)
    return ["go", "build", "-p", str(parallel), "-trimpath", "-o", target, *arguments]


def _linker_flags() -> str:
    """Set the version in both packages that report it: one for --version, one for the API's /version."""
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    packages = (f"{_VENDOR}/component-base/version", f"{_VENDOR}/client-go/pkg/version")
    sets = [f"-X {package}.{name}={value}" for package in packages for name, value in values.items()]
    return " ".join(["-s -w -checklinkname=0", *sets])


async def _add_etcd(packages: Path, into: Path, log: Path) -> None:
    scratch = into / ".etcd"
    await run(["dpkg", "-x", str(_only(packages, f"{_ETCD}_*.deb")), str(scratch)], log=log)
    (scratch / "usr/bin/etcd").rename(into / "etcd")
    shutil.rmtree(scratch)


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise BinariesError(f"the build needs one file {pattern}, and {folder} has {there}")
    return found[0]


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise BinariesError(
            f"building Kubernetes needs 5 GB of disk and {folder} has {free / 1e9:.1f} GB. Free some, or name "
            "a folder on another disk in XDG_CACHE_HOME, and start again."
        )


def _advice(error: BinariesError) -> str:
    return (
        f"Kubernetes {VERSION} could not be built from source: {error}\n"
        "Start again to go on from the last step that was done. If it fails again, put "
        f"{', '.join(NAMES)} of one Kubernetes release into a folder and name it in KUBEBUILDER_ASSETS, or "
        "name a cluster in KUBECONFIG."
    )
