"""Detectors as plain functions of tensors, for graphs that leave Python."""
