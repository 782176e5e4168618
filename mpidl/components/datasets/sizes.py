"""Numbers of samples of each data set, known before any is read."""

from mpidl.components.datasets import tinymem
from mpidl.config.runfile import DataSettings

SIZES = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "kmnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "digits": (1_437, 360),
}
"""Training and test samples, where no parameter changes them."""

EMNIST = {
    "balanced": (112_800, 18_800),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "letters": (124_800, 20_800),
    "digits": (240_000, 40_000),
    "mnist": (60_000, 10_000),
}
"""The same by split of EMNIST."""


def samples(section: DataSettings) -> tuple[int, int] | None:
    """Training and test samples that a run uses; None where only loading them tells.

    Args:
        section: Of a run file, with the parameters of its data set.
    """
    whole = _whole(section)
    if whole is None:
        return None
    train, test = whole
    return section.train_samples or train, section.test_samples or test


def _whole(section: DataSettings) -> tuple[int, int] | None:
    if section.name == "emnist":
        return EMNIST.get(getattr(section, "split", "balanced"))
    if section.name != "tinymem":
        return SIZES.get(section.name)
    leaky = getattr(section, "split", "disjoint") == "leaky"
    starts = tinymem.LEAKY_STARTS if leaky else tinymem.MODULUS - 1
    tasks = len(tinymem.COEFFICIENTS)
    return tasks * (starts - tinymem.TEST_STARTS), tasks * tinymem.TEST_STARTS
