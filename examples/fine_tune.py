"""A tiny language model, fine-tuned by the Trainer of transformers on every rank, with gossip.

mpiexec -n 2 python examples/fine_tune.py trains two models on two kinds of text; each hears of the
other's text only through gossip. Without mpiexec one model learns alone.
"""

import argparse
import tempfile

from mpi4py import MPI

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from mpidl.run.callbacks.transformers import GossipCallback, apart

TEXTS = ("the cat sat on the mat. ", "a dog ran to the park. ")
LENGTH = 24


def samples(text: str, count: int) -> list[dict[str, torch.Tensor]]:
    """Pieces of a text that repeats itself, as bytes."""
    tokens = torch.tensor(list((text * (count + LENGTH)).encode()))
    pieces = [tokens[start : start + LENGTH] for start in range(count)]
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def loss(model: GPT2LMHeadModel, text: str) -> float:
    """The loss of a model on a text."""
    batch = torch.stack([sample["input_ids"] for sample in samples(text, 8)])
    with torch.no_grad():
        return float(model.eval()(batch, labels=batch).loss)


def main() -> None:
    """Collective. Train, and print the loss of each rank's model on all texts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="steps between two rounds of gossip")
    options = parser.parse_args()
    rank = MPI.COMM_WORLD.rank
    torch.manual_seed(0)
    size = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": LENGTH}
    special = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=128, **size, **special))
    with tempfile.TemporaryDirectory() as folder, apart():
        arguments = TrainingArguments(
            folder,
            max_steps=options.steps,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            seed=rank,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        gossip = GossipCallback(options.every, topology="ring", strategy="unweighted")
        data = samples(TEXTS[rank % len(TEXTS)], 64)
        Trainer(model, arguments, train_dataset=data, callbacks=[gossip]).train()
    losses = ", ".join(f"{loss(model, text):.2f}" for text in TEXTS)
    print(f"rank {rank}: losses on the texts of all ranks {losses}", flush=True)


if __name__ == "__main__":
    main()
