"""Face detectors: boxes, scores and five landmarks."""

from maskgate.detection.create import create_detector
from maskgate.detection.protocol import Detector, LabelledFaces, MaskFinder

__all__ = ["Detector", "LabelledFaces", "MaskFinder", "create_detector"]
