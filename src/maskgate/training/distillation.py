"""Learning from what stronger networks say of the same sample (Hinton et al. 2015)."""

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


@dataclass(frozen=True)
class Distillation:
    """``[distil]`` of a recipe.

    Attributes:
        teachers: ``model.onnx`` of other runs; they take the same crops and give probabilities.
        share: of the loss that is the distance to the teachers, the rest being that to the label.
        temperature: both opinions are softened by it, above 0.
    """

    teachers: tuple[str, ...]
    share: float = 0.7
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not self.teachers or not 0 <= self.share <= 1 or not self.temperature > 0:
            raise DataError("[distil] wants teachers, a share from 0 to 1, and a temperature above 0")


class Teachers:
    """Several exported classifiers, of whose probabilities the geometric mean is taken.

    Args:
        settings: which they are, and how much they weigh.
        folders: their paths are relative to one of these, or to the working directory.
        threads: of each.
    """

    def __init__(self, settings: Distillation, folders: Sequence[Path], threads: int = 1) -> None:
        self.settings = settings
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions = []
        for name in settings.teachers:
            paths = [Path(name), *(folder / name for folder in folders)]
            file = next((p for p in paths if p.is_file()), None)
            if file is None:
                raise DataError(f"[distil] names the teacher {name}, which is not there; train it first")
            try:
                self.sessions.append(ort.InferenceSession(str(file), options))
            except Exception as error:  # its exceptions share no other base
                raise DataError(f"[distil] names the teacher {name}, which is no ONNX network") from error

    def log_probabilities(self, x: Tensor) -> Tensor:
        """``(N, 3)`` logarithms of what the teachers say together of ``(N, 3, S, S)`` uint8 crops.

        Raises :class:`~maskgate.errors.DataError` where a teacher takes crops of another size.
        """
        crops = np.ascontiguousarray(x.cpu().numpy().transpose(0, 2, 3, 1))
        for name, session in zip(self.settings.teachers, self.sessions, strict=True):
            side = session.get_inputs()[0].shape[1]
            if side != crops.shape[1]:
                raise DataError(
                    f"[distil] names the teacher {name}, which takes crops of {side} pixels, not "
                    f"{crops.shape[1]}; give one trained with the same size"
                )
        logs = [
            np.log(np.maximum(s.run(None, {s.get_inputs()[0].name: crops})[0], 1e-7)) for s in self.sessions
        ]
        return torch.from_numpy(np.mean(logs, axis=0)).to(x.device).float()

    def mix(self, loss: Tensor, scores: Tensor, x: Tensor) -> Tensor:
        """``loss`` against the labels mixed with the divergence of ``scores`` from the teachers.

        The divergence is scaled by the squared temperature, so that its gradients keep their size.
        """
        t = self.settings.temperature
        wanted = (self.log_probabilities(x) / t).log_softmax(1)
        apart = F.kl_div((scores / t).log_softmax(1), wanted, reduction="batchmean", log_target=True) * t * t
        return (1 - self.settings.share) * loss + self.settings.share * apart
