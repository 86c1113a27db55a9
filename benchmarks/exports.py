"""Do the exports train? Each is loaded by `datasets` and run one step by TRL, in an environment of its own.

    python -m benchmarks.exports WORKSPACE NAME [FOLDER]

Makes FOLDER (a virtual environment that sees this one's torch and transformers, and has trl and datasets of
its own; about a minute, reused when it is there), exports the data set NAME, and runs SFTTrainer on `chat`
and `tools` and DPOTrainer on `preference` with a tiny random model. The first batch is turned back into text
and compared with the messages; what was compared is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from recipes.common import command, options

TRL = "1.16.0"

STEP = r"""
import json, sys, warnings
import torch
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

warnings.filterwarnings("ignore")
folder = sys.argv[1]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}<call>{{ c.function.name }} {{ c.function.arguments }}"
    "{% endfor %}{% endif %}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def parts():
    base = Tokenizer(models.BPE())
    base.pre_tokenizer, base.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<eos>"]
    base.train_from_iterator([], trainers.BpeTrainer(initial_alphabet=alphabet, special_tokens=special))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, pad_token="<pad>", eos_token="<eos>")
    tokenizer.chat_template = TEMPLATE
    shape = LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                        num_attention_heads=2, max_position_embeddings=16384)
    torch.manual_seed(0)
    return LlamaForCausalLM(shape), tokenizer


def common(name):
    return dict(output_dir=f"{folder}/{name}", max_steps=1, per_device_train_batch_size=2, report_to=[],
                use_cpu=True, save_strategy="no", logging_strategy="no", disable_tqdm=True)


results = {}
for name in ("chat", "tools"):
    rows = load_dataset("json", data_files=f"{folder}/{name}.jsonl", split="train")
    keep = ["messages", "tools"] if name == "tools" else ["messages"]
    rows = rows.select_columns(keep).select(range(min(4, len(rows))))
    model, tokenizer = parts()
    trainer = SFTTrainer(model=model, args=SFTConfig(max_length=None, **common(name)), train_dataset=rows,
                         processing_class=tokenizer)
    text = tokenizer.decode(trainer.train_dataset[0]["input_ids"])
    for message in rows[0]["messages"]:
        assert f"<|{message['role']}|>{message['content'] or ''}" in text, (message, text[:400])
        for call in message.get("tool_calls") or ():
            assert json.loads(call["function"]["arguments"]) is not None
            assert call["function"]["arguments"] in text
    assert "{'" not in text and "[{" not in text.replace('[{"', "")
    results[name] = {"rows": len(rows), "loss": trainer.train().training_loss, "rendered": text[:300]}

rows = load_dataset("json", data_files=f"{folder}/preference.jsonl", split="train")
rows = rows.select_columns(["prompt", "chosen", "rejected"]).select(range(min(4, len(rows))))
model, tokenizer = parts()
settings = DPOConfig(max_length=None, **common("preference"))
trainer = DPOTrainer(model=model, ref_model=parts()[0], args=settings, train_dataset=rows,
                     processing_class=tokenizer)
first = trainer.train_dataset[0]
prompt = tokenizer.decode(first.get("prompt_ids", first.get("prompt_input_ids")))
chosen = tokenizer.decode(first.get("chosen_ids", first.get("chosen_input_ids")))
rejected = tokenizer.decode(first.get("rejected_ids", first.get("rejected_input_ids")))
for message in rows[0]["prompt"]:
    assert f"<|{message['role']}|>{message['content']}" in prompt, (message, prompt[:400])
assert rows[0]["chosen"][0]["content"] in chosen and rows[0]["rejected"][0]["content"] in rejected
assert chosen != rejected
loss = trainer.train().training_loss
shown = f"{prompt[-120:]} / {chosen} / {rejected}"
results["preference"] = {"rows": len(rows), "loss": loss, "rendered": shown}
print(json.dumps(results, ensure_ascii=False))
"""


def environment(folder: Path) -> Path:
    """The Python of a virtual environment with trl, which sees the packages of this one."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        site = next((folder / "lib").glob("python*")) / "site-packages"
        own = [path for path in sys.path if path.endswith("site-packages")]
        (site / "tastemaker-peers.pth").write_text("\n".join(own) + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", f"trl=={TRL}", "datasets"], check=True)
    return python


def main() -> None:
    """Export, train one step each, print what was rendered."""
    from tastemaker.flows.converse.export import export_run

    reader = options(__doc__)
    reader.add_argument("workspace", type=Path)
    reader.add_argument("name", help="of the conversations")
    reader.add_argument("env", type=Path, nargs="?", default=Path(tempfile.gettempdir()) / "tm-trl")
    given = reader.parse_args()
    workspace, name = given.workspace, given.name
    python = environment(given.env)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("chat", "tools", "preference"):
            print(export_run(workspace, name, kind, out=Path(folder) / f"{kind}.jsonl")["text"])
        step = Path(folder) / "step.py"
        step.write_text(STEP)
        done = subprocess.run([python, step, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        for kind, result in json.loads(done.stdout.splitlines()[-1]).items():
            print(f"{kind}: {result['rows']} rows, one step, loss {result['loss']:.3f}")
            print("  " + json.dumps(result["rendered"], ensure_ascii=False))


if __name__ == "__main__":
    command(main)
