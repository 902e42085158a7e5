"""The training loop that detector and classifier share: AdamW, warm-up and cosine, averaged weights.

A run that is killed goes on from its last checkpoint to the same result, bit for bit on the same
machine with the same number of threads: samples depend only on (seed, epoch, index).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from maskgate.errors import DataError
from maskgate.training.runs import RunFolder, write_atomic, write_json


class EpochDataset(Protocol):
    """A map-style dataset whose items also depend on ``epoch``."""

    epoch: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, ...]: ...


class Task(Protocol):
    """What is trained. ``loss`` gets the model and a batch; ``evaluate`` the averaged model."""

    model: nn.Module
    dataset: EpochDataset

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]: ...

    def evaluate(self, model: nn.Module) -> dict[str, float]: ...


@dataclass(frozen=True)
class LoopSettings:
    """Settings of a run.

    Attributes:
        epochs: passes of ``len(dataset)`` samples each.
        batch: samples a step.
        rate: highest learning rate; ``head_rate`` multiplies it for parameters named in ``head``.
        decay: AdamW's weight decay.
        warm_up: steps of linear increase.
        average: decay of the exponential moving average of the weights, 0 for none.
        clip: largest gradient norm.
        bfloat16: autocast to bfloat16 (CPU with AVX-512 BF16, or a GPU).
        workers: processes that make samples.
        threads: of the training process.
        checkpoint_seconds: between checkpoints within an epoch.
    """

    epochs: int
    batch: int = 32
    rate: float = 1e-3
    head_rate: float = 1.0
    head: tuple[str, ...] = ()
    decay: float = 1e-2
    warm_up: int = 200
    average: float = 0.998
    clip: float = 5.0
    bfloat16: bool = True
    workers: int = 1
    threads: int = 1
    checkpoint_seconds: float = 120.0


class _Tail(Dataset[tuple[Tensor, ...]]):
    """The samples from ``start`` on, in an order fixed by the dataset itself."""

    def __init__(self, dataset: EpochDataset, start: int) -> None:
        self.dataset, self.start = dataset, start

    def __len__(self) -> int:
        return len(self.dataset) - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.dataset[self.start + index]


def _single_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def train(
    task: Task, settings: LoopSettings, run: RunFolder, *, seed: int, quiet: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> nn.Module:  # fmt: skip
    """Trains ``task`` to the end, or on from the run's checkpoint; returns the averaged model.

    ``stop`` is asked after each step; where it says True the state is saved and the loop ends.

    Raises :class:`~maskgate.errors.DataError` where an epoch has fewer samples than a batch.
    """
    if len(task.dataset) < settings.batch:
        raise DataError(f"an epoch of {len(task.dataset)} samples fills no batch of {settings.batch}")
    torch.manual_seed(seed)
    torch.set_num_threads(settings.threads)
    if settings.workers:
        cv2.setNumThreads(1)  # ends OpenCV's threads: a forked worker would wait for them for ever
    device = next(task.model.parameters()).device
    model = task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = [_group(model, settings, head) for head in (False, True)]
    used = [g for g in groups if g["params"]]
    optimiser = torch.optim.AdamW(used, lr=settings.rate, weight_decay=settings.decay)
    scales = [settings.head_rate if g is groups[1] else 1.0 for g in used]
    blend = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
    steps = len(task.dataset) // settings.batch
    total = steps * settings.epochs
    done = 0
    state = run.load_checkpoint()
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        done = int(state["steps"])
        run.keep_rows(done // steps)

    def save_state() -> None:
        run.save_checkpoint(
            {"model": model.state_dict(), "average": average.state_dict(),
             "optimiser": optimiser.state_dict(), "steps": done}
        )  # fmt: skip

    saved = time.monotonic()
    while done < total:
        epoch = done // steps
        task.dataset.epoch = epoch
        loader: Iterable[list[Tensor]] = DataLoader(
            _Tail(task.dataset, (done - epoch * steps) * settings.batch),
            settings.batch, num_workers=settings.workers, drop_last=True, worker_init_fn=_single_thread,
        )  # fmt: skip
        model.train()
        sums: dict[str, float] = {}
        began, count = time.monotonic(), 0
        bar = tqdm(
            loader, desc=f"epoch {epoch + 1}/{settings.epochs}", total=steps - done % steps,
            disable=quiet, mininterval=5,
        )  # fmt: skip
        for batch in bar:
            rate = _rate(done, total, settings)
            for group, scale in zip(optimiser.param_groups, scales, strict=True):
                group["lr"] = rate * scale
            batch = [part.to(device, non_blocking=True) for part in batch]
            torch.manual_seed(seed * 1_000_003 + done)  # dropout, too, depends on seed and step alone
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16):
                loss, parts = task.loss(model, batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimiser.step()
            average.update_parameters(model)
            done += 1
            count += 1
            for key, value in {"loss": loss.item(), **parts}.items():
                sums[key] = sums.get(key, 0.0) + value
            if count % 20 == 0 and hasattr(bar, "set_postfix_str"):
                bar.set_postfix_str(f"loss {sums['loss'] / count:.4f}", refresh=False)
            stopping = stop()
            inside = done % steps > 0  # at the epoch's end its row comes before the checkpoint
            if inside and stopping:
                save_state()
                return average.module
            if inside and time.monotonic() - saved > settings.checkpoint_seconds:
                save_state()
                saved = time.monotonic()
        seconds = time.monotonic() - began
        average.eval()
        row: dict[str, float | int] = {"epoch": epoch + 1, "seconds": seconds}
        row |= {f"train_{k}": v / max(count, 1) for k, v in sums.items()}
        row |= {f"val_{k}": v for k, v in task.evaluate(average.module).items()}
        # in this order: a row without its checkpoint is dropped and made anew, one never written is lost
        run.add_row(row)
        save_state()
        if not quiet:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
        if stopping:
            return average.module
    finished: nn.Module = average.module.eval()
    tensors = {k: v.contiguous() for k, v in finished.state_dict().items()}
    write_atomic(run.path / "model.safetensors", save(tensors))
    write_json(run.path / "figures.json", task.evaluate(finished))
    return finished


def _group(model: nn.Module, settings: LoopSettings, head: bool) -> dict[str, Any]:
    names = tuple(settings.head)
    return {
        "params": [p for n, p in model.named_parameters() if p.requires_grad and n.startswith(names) == head]
        if names
        else ([] if head else [p for p in model.parameters() if p.requires_grad])
    }


def _rate(step: int, total: int, settings: LoopSettings) -> float:
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    share = (step - settings.warm_up) / max(total - settings.warm_up, 1)
    return settings.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
