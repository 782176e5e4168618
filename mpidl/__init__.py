"""Decentralized learning on graphs over MPI: one rank per device, weighted gossip, HDF5 results."""

__version__ = "0.1.0"
