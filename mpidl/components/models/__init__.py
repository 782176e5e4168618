"""Models by name, one file each; torch is imported when a model is built, not before.

To add one, write a file with a builder under ``@MODELS.add`` and import it here. No model drops
out or draws at random after it is built, so that training depends on data and seeds alone.
"""

from mpidl.components.models import cnn, logistic, mlp, mobilenet, resnet, transformer, vgg, vit
from mpidl.components.models.shape import MODELS, Shape

__all__ = ["MODELS", "Shape"]
_FILES = (cnn, logistic, mlp, mobilenet, resnet, transformer, vgg, vit)
