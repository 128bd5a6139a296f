"""`python -m services.inference.tuning.evaluate SPEC`: the loss of the adapter on the data that was held out.

The base model is loaded anew. On CPUs with bfloat16 instructions bitsandbytes repacks 4-bit weights when it computes
without gradients, and whoever trains on with them gets wrong ones; so nothing is measured where there is training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.inference.tuning.examples import read_examples
from services.inference.tuning.files import write_whole
from services.inference.tuning.model import load_model, load_tokenizer, training_of
from services.inference.tuning.outside import ending_in_words
from services.inference.tuning.progress import Progress
from services.inference.tuning.spec import Spec


def evaluate(spec: Spec) -> None:
    """Measure, and leave the number in its file."""
    from peft import PeftModel
    from trl import SFTTrainer

    Progress(spec.work / "progress.json").tell("measuring")
    tokenizer = load_tokenizer(spec)
    _, held_out = read_examples(spec, chat=bool(tokenizer.chat_template))
    model = load_model(spec)
    trainer = SFTTrainer(
        model=PeftModel.from_pretrained(model, str(spec.adapter)),
        args=training_of(spec, getattr(model.config, "max_position_embeddings", None)),
        train_dataset=held_out,
        eval_dataset=held_out,
        processing_class=tokenizer,
    )
    loss = round(float(trainer.evaluate()["eval_loss"]), 4)
    write_whole(spec.evaluated, json.dumps({"evalLoss": loss}))


if __name__ == "__main__":
    sys.exit(ending_in_words(evaluate, Path(sys.argv[1])))
