"""RetinaFace's multi-task loss (Deng et al. 2019, eq. 1, without the dense regression branch)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class DetectorLoss:
    """Classification with hard negative mining, smooth L1 on boxes and landmarks; cross-entropy of labels.

    Attributes:
        negatives: hard negatives kept for each positive, per picture.
        least_negatives: at least so many per picture, also where there is no face.
        box_weight, landmark_weight, label_weight: weights beside the classification loss.
    """

    negatives: int = 7
    least_negatives: int = 32
    box_weight: float = 2.0
    landmark_weight: float = 1.0
    label_weight: float = 1.0

    def __call__(
        self,
        outputs: tuple[Tensor, ...],
        kind: Tensor,
        boxes: Tensor,
        landmarks: Tensor,
        has_landmarks: Tensor,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and its parts.

        Args:
            outputs: ``(N, A, 4)`` offsets, ``(N, A, 2)`` scores, ``(N, A, 10)`` landmark offsets; of a
                network with labels their ``(N, A, K)`` scores too.
            kind: ``(N, A)`` 1 face, 0 background, -1 ignored.
            boxes, landmarks, has_landmarks: ``(N, A, 4)``, ``(N, A, 10)``, ``(N, A)`` targets.
            labels: ``(N, A)`` label of each anchor's face, -1 where nobody knows it; a network without
                labels needs none.

        Each part is divided by the number of face anchors (with landmarks, or with a label, for these).
        With labels, the classification and the label's part are the cross-entropy over background and all
        labels, where a face without a known label may have any.
        """
        loc, scores, points, *judged = (o.float() for o in outputs)
        face = kind == 1
        count = face.sum().clamp(min=1)
        ce = F.cross_entropy(scores.flatten(0, 1), face.flatten().long(), reduction="none").view_as(face)
        hard = ce.detach().masked_fill(kind != 0, -1.0)
        rank = hard.argsort(1, descending=True).argsort(1)
        keep = (self.negatives * face.sum(1, keepdim=True)).clamp(min=self.least_negatives)
        negative = (rank < keep) & (kind == 0)
        classes = ce[face | negative].sum() / count
        box = F.smooth_l1_loss(loc[face], boxes[face], reduction="sum") / count
        marked = face & has_landmarks
        landmark = F.smooth_l1_loss(points[marked], landmarks[marked], reduction="sum")
        landmark = landmark / marked.sum().clamp(min=1)
        total = classes + self.box_weight * box + self.landmark_weight * landmark
        parts = {"classes": classes.item(), "boxes": box.item(), "landmarks": landmark.item()}
        if judged and labels is not None:
            known = face & (labels >= 0)
            label = F.cross_entropy(judged[0][known], labels[known].long(), reduction="sum")
            label = label / known.sum().clamp(min=1)
            total = total + self.label_weight * label
            parts["labels"] = label.item()
        return total, parts
