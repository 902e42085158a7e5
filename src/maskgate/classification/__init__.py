"""Classifiers: what is on an aligned face."""

from maskgate.classification.create import create_classifier
from maskgate.classification.protocol import Classifier

__all__ = ["Classifier", "create_classifier"]
