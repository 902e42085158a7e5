"""A detector that learns from what a stronger one says of the same picture, anchor by anchor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor
from torch.nn import functional as F

from maskgate.errors import DataError
from maskgate.models import registry
from maskgate.training.labelling import first_file


@dataclass(frozen=True)
class DetectorDistillation:
    """``[distil]`` of a detector's recipe.

    Attributes:
        teachers: ``model.onnx`` of other detectors with the same anchors; the mean of what they say counts.
        share: of the loss that is the distance to the teachers, the rest being that to the labels.
        sure: from this probability on an anchor is a face to the teachers: its box and its landmarks
            are learnt from them too.
    """

    teachers: tuple[str, ...]
    share: float = 0.5
    sure: float = 0.5

    def __post_init__(self) -> None:
        if not self.teachers or not 0 <= self.share <= 1 or not 0 < self.sure < 1:
            raise DataError("[distil] wants teachers, a share from 0 to 1, and sure between 0 and 1")


class DetectorTeachers:
    """Exported detectors that see each batch.

    Args:
        settings: which they are, and how much they weigh.
        folders: their paths are relative to one of these, to the working directory, or to the models that
            ship.
        threads: of each.

    Raises :class:`~maskgate.errors.DataError` where one is missing or no detector.
    """

    def __init__(self, settings: DetectorDistillation, folders: Sequence[Path], threads: int = 1) -> None:
        self.settings = settings
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions: list[tuple[ort.InferenceSession, list[str]]] = []
        for name in settings.teachers:
            file = first_file([Path(), *folders, registry.WEIGHTS], name)
            if not file.is_file():
                raise DataError(f"[distil] names the teacher {name}, which is not there; train it first")
            try:
                session = ort.InferenceSession(str(file), options)
                widths = {int(o.shape[-1]): o.name for o in session.get_outputs()}
                self.sessions.append((session, [widths[w] for w in (4, 2, 10)]))
            except Exception as error:  # its exceptions share no other base
                raise DataError(f"[distil] names the teacher {name}, which is no detector in ONNX") from error

    def answers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What they say of the network's input ``(N, 3, H, W)``: box offsets ``(N, A, 4)``, probabilities
        of a face ``(N, A)`` and landmark offsets ``(N, A, 10)``, each the mean."""
        image = np.ascontiguousarray(x.float().cpu().numpy())
        said = [s.run(names, {s.get_inputs()[0].name: image}) for s, names in self.sessions]
        loc, scores, points = (
            torch.from_numpy(np.mean([one[k] for one in said], axis=0)).to(x.device).float() for k in range(3)
        )
        return loc, scores[..., 1], points

    def mix(self, loss: Tensor, outputs: Sequence[Tensor], x: Tensor) -> tuple[Tensor, float]:
        """``loss`` against the labels mixed with the distance of ``outputs`` from the teachers; and that
        distance alone.

        The cross-entropy of the scores goes over all anchors, also those whose labels are doubtful, for the
        teachers have an opinion on each; what is easily background adds next to nothing. It is divided, as
        are the smooth L1 distances of boxes and landmarks, by the number of anchors that are a face to
        the teachers.
        """
        loc, face, points = self.answers(x)
        if face.shape != outputs[1].shape[:2]:
            raise DataError(
                f"[distil]: a teacher answers for {face.shape[1]} anchors, the network for "
                f"{outputs[1].shape[1]}; give a teacher with the same anchors"
            )
        own = (outputs[1][..., 1] - outputs[1][..., 0]).float()
        sure = face >= self.settings.sure
        count = sure.sum().clamp(min=1)
        entropy = F.binary_cross_entropy_with_logits(own, face, reduction="sum")
        # less what no network can go below, so that 0 is agreement
        entropy = entropy - torch.special.entr(face).sum() - torch.special.entr(1 - face).sum()
        apart = entropy / count
        apart = apart + 2 * F.smooth_l1_loss(outputs[0].float()[sure], loc[sure], reduction="sum") / count
        apart = apart + F.smooth_l1_loss(outputs[2].float()[sure], points[sure], reduction="sum") / count
        return (1 - self.settings.share) * loss + self.settings.share * apart, float(apart.item())
