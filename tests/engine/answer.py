"""Run by the engine's Python: what a model answers, with an adapter and without, as JSON.

python answer.py MODEL ADAPTER QUESTION
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, adapter, question = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)


def answer(model: torch.nn.Module) -> str:
    """The likeliest words."""
    with torch.no_grad():
        tokens = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    return str(tokenizer.decode(tokens[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))


plain = answer(base)
json.dump({"plain": plain, "tuned": answer(PeftModel.from_pretrained(base, adapter))}, sys.stdout)
