"""`python -m services.inference.tuning.train SPEC`: trains, from the last checkpoint on if there is one.

With several GPUs one such process runs on each. A failure is left in a file for the process that started it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from services.inference.tuning.checkpoints import Owner, last_checkpoint
from services.inference.tuning.examples import read_examples
from services.inference.tuning.files import write_whole
from services.inference.tuning.model import load_model, load_tokenizer, lora_of, training_of
from services.inference.tuning.outside import ending_in_words
from services.inference.tuning.parent import die_with_parent
from services.inference.tuning.progress import Progress
from services.inference.tuning.spec import Spec
from services.inference.tuning.watch import Watch


def train(spec: Spec) -> None:
    """Train, and leave the adapter in its folder. Raises TuningError and whatever the libraries raise."""
    from accelerate import PartialState
    from trl import SFTTrainer

    progress, state = Progress(spec.work / "progress.json"), PartialState(cpu=not _has_gpu())
    owner = Owner(spec.checkpoints)
    if state.is_main_process:
        owner.take()
        progress.tell("loading the model")
    tokenizer = load_tokenizer(spec)
    with state.main_process_first():
        examples, _ = read_examples(spec, chat=bool(tokenizer.chat_template))
    model = load_model(spec)
    context = getattr(model.config, "max_position_embeddings", None)
    trainer = SFTTrainer(
        model=model,
        args=training_of(spec, context),
        train_dataset=examples,
        processing_class=tokenizer,
        peft_config=lora_of(spec),
        callbacks=[Watch(spec, progress, owner)],
    )
    checkpoint = last_checkpoint(spec.checkpoints)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if state.is_main_process:
        _keep(spec, trainer.accelerator.unwrap_model(trainer.model), progress)


def _keep(spec: Spec, model: object, progress: Progress) -> None:
    """Put the adapter in its place as a whole, and then say that it is there."""
    draft = spec.work / "adapter.draft"
    for path in (draft, spec.adapter):
        shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(str(draft))  # type: ignore[attr-defined]  # a PeftModel
    draft.rename(spec.adapter)
    known = progress.read()
    write_whole(spec.trained, json.dumps({key: known[key] for key in ("step", "steps", "loss") if key in known}))


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    die_with_parent()  # where it is one of several, that is their launcher
    sys.exit(ending_in_words(train, Path(sys.argv[1])))
