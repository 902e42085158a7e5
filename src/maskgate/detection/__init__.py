"""Face detectors: boxes, scores and five landmarks."""

from maskgate.detection.create import create_detector
from maskgate.detection.protocol import Detector

__all__ = ["Detector", "create_detector"]
