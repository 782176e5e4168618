"""Handwritten digits, learned by a plain loop: MNIST's training images, or small ones of mpidl."""

import argparse
import gzip
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import mpidl

KINDS = "images-idx3", "labels-idx1"
DIGITS = Path(mpidl.__file__).parent / "components/datasets/embedded"


def read(path):
    """An IDX file as a tensor."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    sizes = [int.from_bytes(content[4 * i : 4 * i + 4]) for i in range(1, content[3] + 1)]
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * len(sizes)).view(sizes)


def load(folder):
    """Images 0 to 1 and labels: four of five for training, the fifth for testing."""
    stem = "train" if folder else "digits"
    images, labels = (read((folder or DIGITS) / f"{stem}-{kind}-ubyte.gz") for kind in KINDS)
    images, labels = (images / images.max())[:, None], labels.long()
    test = torch.arange(len(images)) % 5 == 0
    return images[~test], labels[~test], images[test], labels[test]


def main():
    """Train, and test after each epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="has train-images-idx3-ubyte.gz")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-order", action="store_true", help="do not shuffle")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    inputs, labels, test_inputs, test_labels = load(args.data)
    layers = nn.Flatten(), nn.Linear(inputs[0].numel(), 64), nn.ReLU(), nn.Linear(64, 10)
    model = nn.Sequential(*layers)
    gossip = mpidl.Gossip(model, "ring", out="mnist.h5", overwrite=True)
    inputs, labels = inputs[gossip.rank :: gossip.ranks], labels[gossip.rank :: gossip.ranks]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(args.epochs):
        order = torch.arange(len(inputs)) if args.in_order else torch.randperm(len(inputs))
        for batch in order.split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        gossip.mix()
        with torch.no_grad():
            accuracy = (model(test_inputs).argmax(1) == test_labels).double().mean().item()
        gossip.record(accuracy=accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}")
    gossip.close()


if __name__ == "__main__":
    main()
