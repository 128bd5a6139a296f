"""`kaitobus-tune`: tunes a model on data and brings the adapter to where it is wanted.

This process holds no model: it answers for the run over HTTP while processes of their own train and measure, and it
can still say what happened when one of them dies. Each step that is done leaves a file in the pod's volume.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from services.inference.fetch import TERMINATION_LOG
from services.inference.local_model import MODEL_DIR_ENV, folder_name
from services.inference.logs import configure_logs
from services.inference.tuning.checkpoints import folder_of_run
from services.inference.tuning.data import bring_data
from services.inference.tuning.failure import TuningError, ended, killed, of_os_error, read_failure
from services.inference.tuning.files import data_files, digest_of
from services.inference.tuning.options import parse
from services.inference.tuning.parent import die_with_parent
from services.inference.tuning.progress import Progress, serve
from services.inference.tuning.result import Destination, annotations_of, copy_to, finish_folder
from services.inference.tuning.spec import Spec
from services.tuning.exit_codes import ExitCode
from services.tuning.read import BadTuning, read_tuning
from services.tuning.sections import TuningConfig

CONFIG_ENV = "KAITOBUS_TUNING"
"""The training configuration as JSON, where no file is named."""


def main() -> int:
    """Tune, and return the exit code, as `ExitCode` has them."""
    log = configure_logs(os.environ.get("TRACEPARENT"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        told = Run(sys.argv[1:], log).go()
    except TuningError as error:
        return _failed(error, log)
    except OSError as error:
        return _failed(of_os_error(error), log)
    except Exception as error:
        log.critical("the run ended by a fault of its own: %s", error, exc_info=True)
        _last_word(f"The run ended by a fault of its own: {error}")
        return ExitCode.PASSES
    log.info("the adapter is %s", told.get("digest") or told.get("folder"), extra={"fields": {"result": told}})
    _last_word(json.dumps(told))
    return ExitCode.DONE


class Run:
    """One run, from the data to the result."""

    def __init__(self, argv: Sequence[str], log: logging.Logger) -> None:
        self._options = parse(argv)
        self._log = log
        self._work = Path(self._options.work)
        self._work.mkdir(parents=True, exist_ok=True)
        self._progress = Progress(self._work / "progress.json")

    def go(self) -> Mapping[str, object]:
        """Do all that is not done yet; the numbers of the result. Raises TuningError."""
        serve(self._progress, self._options.port)
        try:
            return self._steps()
        except OSError as error:
            raise of_os_error(error) from error

    def _steps(self) -> Mapping[str, object]:
        options, destination = self._options, None
        config = read_config(options.config, options.method)
        if options.push_image:
            destination = Destination(
                options.push_image, options.push_secret, ca=options.ca, plain_http=options.plain_http
            )
            destination.check()
        self._progress.tell("fetching the data")
        folder = bring_data(options, self._work / "data", lambda *_: None)
        data_digest = digest_of(data_files(folder, config.dataset.dataset_file_extension))
        spec = self._spec(config, folder, data_digest)
        spec.write()
        self._run_child(spec, "train", spec.trained)
        if config.dataset.train_test_split < 1:
            self._run_child(spec, "evaluate", spec.evaluated)
        return self._deliver(spec, data_digest, destination)

    def _spec(self, config: TuningConfig, folder: Path, data_digest: str) -> Spec:
        options, processes = self._options, max(1, self._options.processes)
        local = Path(os.environ.get(MODEL_DIR_ENV, ""), folder_name(options.model))
        here = bool(os.environ.get(MODEL_DIR_ENV)) and local.is_dir()
        name, home = options.model_name or options.model, options.checkpoints
        made_of = (name, options.revision, options.method, config.to_sections(), data_digest, processes)
        return Spec(
            model=str(local) if here else options.model,
            name=name,
            revision=options.revision,
            method=options.method,
            processes=processes,
            data=folder,
            work=self._work,
            kept=folder_of_run(Path(home), *made_of) if home else None,
            config=config,
        )

    def _run_child(self, spec: Spec, module: str, done: Path) -> None:
        """Have a step done by a process of its own, unless it is done. Raises TuningError."""
        if done.exists():
            return
        spec.failure.unlink(missing_ok=True)
        words = [f"services.inference.tuning.{module}", str(spec.file)]
        several = module == "train" and spec.processes > 1
        command = [sys.executable, *(launcher(spec.processes) if several else ()), "-m", *words]
        environment = child_environment(spec) if several else seeing_one_gpu(child_environment(spec))
        with subprocess.Popen(command, env=environment, preexec_fn=die_with_parent) as child:
            code = child.wait()
        if failure := read_failure(spec.failure):
            raise failure
        if code < 0:
            raise killed(-code, "training" if module == "train" else "measuring")
        if code or not done.exists():
            raise ended(code, spec.processes if several else 1)

    def _deliver(self, spec: Spec, data_digest: str, destination: Destination | None) -> Mapping[str, object]:
        numbers = {**_numbers(spec.trained), **_numbers(spec.evaluated)}
        finish_folder(spec.adapter, spec, data_digest, numbers)
        self._progress.tell("delivering the result", **numbers)
        if destination:
            digest = destination.push(spec.adapter, annotations_of(spec, data_digest))
            numbers |= {"digest": digest, "reference": str(destination.reference.at(digest))}
        else:
            copy_to(spec.adapter, Path(self._options.into))
            numbers |= {"folder": Path(self._options.into).name}
        shutil.rmtree(spec.kept.parent if spec.kept else spec.checkpoints, ignore_errors=True)
        self._progress.tell("done", **numbers)
        return {**numbers, "phase": "done"}


def read_config(file: str | None, method: str) -> TuningConfig:
    """The configuration of a file, or else of the environment. Raises TuningError."""
    try:
        text = Path(file).read_text() if file else os.environ.get(CONFIG_ENV, "")
        return read_tuning(yaml.safe_load(text), method)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TuningError(
            f"The training configuration cannot be read: {' '.join(str(error).split())[:300]}."
        ) from error
    except BadTuning as error:
        raise TuningError(f"The training configuration: {error}") from error


def launcher(processes: int) -> list[str]:
    """One process on each GPU of this machine, which train side by side; without GPUs they share the CPUs.

    It is torch's own launcher, which accelerate's leads to for GPUs only. When one process ends, it ends the others.
    """
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


def child_environment(spec: Spec) -> dict[str, str]:
    """The environment of a process that trains: this checkout's modules, and no hub where the model is here."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [path for path in (os.environ.get("PYTHONPATH"), root) if path]
    offline = {"HF_HUB_OFFLINE": "1"} if Path(spec.model).is_dir() else {}
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_OFFLINE": "1"}
    cache = {"HF_DATASETS_CACHE": str(spec.work / "datasets")}
    return {**os.environ, **offline, **quiet, **cache, "PYTHONPATH": os.pathsep.join(paths)}


def seeing_one_gpu(environment: Mapping[str, str]) -> dict[str, str]:
    """For a step of one process: transformers divides its work among all GPUs that it sees, and TRL refuses that."""
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {**environment, "CUDA_VISIBLE_DEVICES": first}


def _failed(error: TuningError, log: logging.Logger) -> int:
    log.error("%s", error)
    _last_word(str(error))
    return error.code


def _numbers(file: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _leave(number: int, _frame: object) -> None:
    """Told to end: children go with this process, and what is done is kept."""
    os._exit(128 + number)


def _last_word(text: str) -> None:
    """Where Kubernetes reads a container's last message."""
    if TERMINATION_LOG.is_file():
        TERMINATION_LOG.write_text(text[:4096])


if __name__ == "__main__":
    sys.exit(main())
