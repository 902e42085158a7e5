"""Classifiers: what is on an aligned face."""
