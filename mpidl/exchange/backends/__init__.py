"""Backends by name, one file each: builders, which import torch when called, and properties."""
