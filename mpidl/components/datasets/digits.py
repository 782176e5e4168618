"""Real handwritten digits of 8 x 8 pixels that come with the package."""

from pathlib import Path

import numpy as np

from mpidl.components.datasets import idx
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset

EMBEDDED = Path(__file__).parent / "embedded"


@DATASETS.add(
    samples=(1_437, 360),
    published=frozenset({"f09594ee133dfb087670d2571030c56d6094cf32c780cdc750e793697fa5fab7"}),
)
def digits(folder: Path | None, seed: int, /) -> Dataset:
    """1,797 handwritten digits, 8 x 8 pixels, embedded: 1,437 for training, 360 for testing.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, doi:10.24432/C50P49, licence CC BY 4.0: its test part, by 13 writers, in the
    order of scikit-learn's copy, from which the embedded files were made. Pixels 0 to 16 become
    0 to 1.

    The samples lie writer by writer, so a cut between first and last would test on writers nobody
    trained on, a shift of its own. Therefore every fifth sample of the list sorted by class is
    a test sample: 35 to 37 of each class, from all along the list.
    """
    pixels, labels = idx.samples(
        EMBEDDED / "digits-images-idx3-ubyte.gz", EMBEDDED / "digits-labels-idx1-ubyte.gz", 8, 10
    )
    images = np.divide(pixels[:, None], np.float32(16), dtype=np.float32)
    test = np.zeros(len(labels), dtype=bool)
    test[np.argsort(labels, kind="stable")[::5]] = True
    return Dataset(
        name="digits",
        train_inputs=images[~test],
        train_labels=labels[~test],
        test_inputs=images[test],
        test_labels=labels[test],
        classes=tuple("0123456789"),
    )
