"""Direct mask finding: RetinaFace that also says what is on each face, in one pass (paper, Sec. II).

An anchor is background or a face with one of three labels. The network gives that in two factors, P(face)
and P(label | face): the first is the score that suppression goes by, the second the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.detection.anchors import decode_boxes, make_anchors
from maskgate.detection.boxes import iou
from maskgate.detection.protocol import LabelledFaces
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings, size_of_view
from maskgate.errors import InputError
from maskgate.types import LABELS, Faces, Image

OUTPUTS = {"loc": 4, "conf": 2, "landmarks": 10, "labels": len(LABELS)}
"""Names and widths of the network's outputs."""

SAME = 0.5
"""IoU from which what an anchor found is the face whose place is told."""


class DirectMaskFinder(RetinaFaceDetector):
    """Faces and what is on them, from one network over an ONNX session.

    It is a :class:`~maskgate.detection.Detector` and a :class:`~maskgate.detection.MaskFinder`:
    ``MaskGate(finder)`` gives verdicts without a classifier.

    Args:
        session: as :class:`~maskgate.detection.retinaface.RetinaFaceDetector` takes it, with the output
            ``labels (N, A, 3)`` besides: probabilities of :data:`~maskgate.types.LABELS` should the anchor
            be a face, after softmax and temperature.
        settings: as for the detector.
        threshold: P(mask) from which a face counts as masked, in (0, 1).
        name: of the model.

    Raises :class:`~maskgate.errors.InputError` where the network has other outputs, or the threshold is out
    of range.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        settings: RetinaFaceSettings | None = None,
        threshold: float = 0.5,
        name: str = "direct",
    ) -> None:
        found = {output.name: output.shape[-1] for output in session.get_outputs()}
        if found != OUTPUTS:
            raise InputError(f"a network that finds masks has the outputs {OUTPUTS}, not {found}")
        if not 0 < threshold < 1:
            raise InputError(f"threshold is {threshold}; give a value between 0 and 1")
        self.threshold = threshold
        super().__init__(session, settings, name)
        self._outputs = list(OUTPUTS)

    def find(self, images: Sequence[Image]) -> list[LabelledFaces]:
        """Faces of each ``(H, W, 3)`` uint8 RGB picture, best score first, and their probabilities.

        The faces are those of :meth:`detect`. An empty list gives an empty list.
        """
        return self._look(images)

    def judge(self, image: Image, faces: Faces) -> NDArray[np.float32]:
        """``(N, 3)`` probabilities of N faces of a picture whose places are told; rows sum to 1.

        Each face has those of the surest anchor that found it: whose own box overlaps the face's by an
        IoU of :data:`SAME` or more, or else by the most. Scores of ``faces`` do not matter.
        """
        answers = np.zeros((len(faces), len(LABELS)), np.float32)
        scale = self._scale(image)
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1, initial=0)
        large = self._wants_close_up(image, scale) & (sides * scale > self.settings.anchors[-1][-1])
        for view, members in ((scale, ~large), (self._close_up_scale(image), large)):
            if members.any():
                answers[members] = self._judge(image, faces.boxes[members], view)
        return answers

    def _judge(self, image: Image, places: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
        size = size_of_view(image, scale)
        loc, scores, _, labels = (out[0] for out in self.run(self.prepare([image], size)))
        boxes = decode_boxes(loc, make_anchors(size[1], size[0], self.settings.anchors))
        boxes *= np.tile(np.array([image.shape[1] / size[0], image.shape[0] / size[1]], np.float32), 2)
        answers = np.empty((len(places), labels.shape[1]), np.float32)
        for answer, place in zip(answers, places, strict=True):  # a row of all anchors at a time
            overlap = iou(place[None], boxes)[0]
            sure = np.where(overlap >= SAME, scores[:, 1], -1)
            best = int(sure.argmax() if sure.max() >= 0 else overlap.argmax())
            answer[:] = labels[best]
        return answers
