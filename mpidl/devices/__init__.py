"""Devices: how they learn and gossip, and the data that they hold."""
