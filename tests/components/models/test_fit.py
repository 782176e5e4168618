"""Whether a model takes the data is known before torch is loaded."""

import subprocess
import sys

import pytest

from mpidl import plan
from mpidl.components.models import MODELS, Shape
from mpidl.config.faults import Fault

IMAGES, TOKENS = Shape((3, 32, 32), 10), Shape((150,), 14, 14)
SMALL = Shape((1, 8, 8), 10)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_each_model_takes_images_or_tokens(name):
    section = plan.read(None, [f"model.name={name}"], 4).model
    takes, refuses = (TOKENS, IMAGES) if name == "transformer" else (IMAGES, TOKENS)
    MODELS.fit(section, takes)
    with pytest.raises(Fault, match=f"model.name = '{name}': needs "):
        MODELS.fit(section, refuses)


def test_what_fits_by_its_parameters():
    MODELS.fit(plan.read(None, ["model.name=vit", "model.patch=4"], 4).model, SMALL)
    with pytest.raises(Fault, match="multiples of 3 pixels"):
        MODELS.fit(plan.read(None, ["model.name=vit", "model.patch=3"], 4).model, SMALL)
    with pytest.raises(Fault, match=r"model\.heads = 7: must divide"):
        MODELS.fit(plan.read(None, ["model.name=vit", "model.heads=7"], 4).model, SMALL)


def test_no_torch_is_loaded_for_it():
    code = (
        "import sys\n"
        "from mpidl import plan\n"
        "from mpidl.components.models import MODELS, Shape\n"
        "for name in MODELS:\n"
        "    shape = Shape((150,), 14, 14) if name == 'transformer' else Shape((3, 32, 32), 10)\n"
        "    MODELS.fit(plan.read(None, [f'model.name={name}'], 4).model, shape)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
