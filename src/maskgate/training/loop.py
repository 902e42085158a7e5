"""The training loop that detector and classifier share: AdamW, warm-up and cosine, averaged weights.

A run that is killed goes on from its last checkpoint to the same result, bit for bit on the same
machine with the same number of threads: samples depend only on (seed, epoch, index). Where
``torchrun`` has started several processes, each takes its share of every batch.
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
from maskgate.files import write_atomic, write_json
from maskgate.training.processes import Processes, joined_processes, wait_for_all
from maskgate.training.runs import RunFolder


class EpochDataset(Protocol):
    """A map-style dataset whose items also depend on ``epoch``."""

    epoch: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, ...]: ...


class Task(Protocol):
    """What is trained. ``loss`` gets the model and a batch; ``evaluate`` the averaged model.

    ``begin_epoch`` may change which parameters learn; it is called before each epoch, also before
    one that is gone on with.
    """

    model: nn.Module
    dataset: EpochDataset

    def begin_epoch(self, epoch: int) -> None: ...

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
        patience: epochs without a lower ``val_loss`` after which the run ends early, 0 for never.
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
    patience: int = 0


class _Tail(Dataset[tuple[Tensor, ...]]):
    """This process's samples from ``start`` on, in an order fixed by the dataset itself."""

    def __init__(self, dataset: EpochDataset, start: int, processes: Processes) -> None:
        self.dataset, self.start, self.processes = dataset, start, processes

    def __len__(self) -> int:
        return (len(self.dataset) - self.start) // self.processes.count

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.dataset[self.start + index * self.processes.count + self.processes.rank]


def _single_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def train(
    task: Task, settings: LoopSettings, run: RunFolder, *, seed: int, quiet: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> nn.Module:  # fmt: skip
    """Trains ``task`` to the end, or on from the run's checkpoint; returns the averaged model.

    ``stop`` is asked after each step; where it says True the state is saved and the loop ends. In
    the run's folder ``tensorboard/`` the same curves lie as in ``curves.csv``.

    Raises :class:`~maskgate.errors.DataError` where an epoch has fewer samples than a batch, a batch
    does not divide by the number of processes, or ``patience`` has no ``val_loss`` to go by.
    """
    with joined_processes() as processes:
        try:
            return _Training(task, settings, run, seed, quiet or not processes.first, processes).run(stop)
        finally:
            run.close()


class _Training:
    """The state of one run of :func:`train`."""

    def __init__(
        self, task: Task, settings: LoopSettings, run: RunFolder, seed: int, quiet: bool,
        processes: Processes,
    ) -> None:  # fmt: skip
        if len(task.dataset) < settings.batch:
            raise DataError(f"an epoch of {len(task.dataset)} samples fills no batch of {settings.batch}")
        if settings.batch % processes.count:
            raise DataError(
                f"a batch of {settings.batch} cannot be shared by {processes.count} processes; change batch"
            )
        self.task, self.settings, self.folder, self.seed, self.quiet = task, settings, run, seed, quiet
        self.processes = processes
        torch.manual_seed(seed)
        torch.set_num_threads(settings.threads)
        if settings.workers:
            cv2.setNumThreads(1)  # ends OpenCV's threads: a forked worker would wait for them for ever
        self.device = next(task.model.parameters()).device
        self.model = task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = [_group(self.model, settings, head) for head in (False, True)]
        used = [g for g in groups if g["params"]]
        self.optimiser = torch.optim.AdamW(used, lr=settings.rate, weight_decay=settings.decay)
        self.scales = [settings.head_rate if g is groups[1] else 1.0 for g in used]
        blend = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=blend, use_buffers=True)
        self.steps = len(task.dataset) // settings.batch
        self.total = self.steps * settings.epochs
        self.done = 0
        self.best, self.worse = math.inf, 0  # of val_loss, for patience
        self.saved = time.monotonic()
        state = run.load_checkpoint()
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.done = int(state["steps"])
            self.best, self.worse = float(state.get("best", math.inf)), int(state.get("worse", 0))
            if processes.first:
                run.keep_rows(self.done // self.steps)

    def run(self, stop: Callable[[], bool]) -> nn.Module:
        while self.done < self.total and not self._lost_patience:
            if not self._epoch(stop):
                return self.average.module
        finished: nn.Module = self.average.module.eval()
        if self.processes.first:
            tensors = {k: v.contiguous() for k, v in finished.state_dict().items()}
            write_atomic(self.folder.path / "model.safetensors", save(tensors))
            write_json(self.folder.path / "figures.json", self.task.evaluate(finished))
        wait_for_all()
        return finished

    @property
    def _lost_patience(self) -> bool:
        return 0 < self.settings.patience <= self.worse

    def _epoch(self, stop: Callable[[], bool]) -> bool:
        """One epoch or the rest of it; False where ``stop`` ended it."""
        settings, steps = self.settings, self.steps
        epoch = self.done // steps
        self.task.dataset.epoch = epoch
        self.task.begin_epoch(epoch)
        model = self.processes.wrap(self.model)
        loader: Iterable[list[Tensor]] = DataLoader(
            _Tail(self.task.dataset, (self.done - epoch * steps) * settings.batch, self.processes),
            settings.batch // self.processes.count, num_workers=settings.workers, drop_last=True,
            worker_init_fn=_single_thread,
        )  # fmt: skip
        model.train()
        sums: dict[str, float] = {}
        began, began_cpu, count = time.monotonic(), time.process_time(), 0
        bar = tqdm(
            loader, desc=f"epoch {epoch + 1}/{settings.epochs}", total=steps - self.done % steps,
            disable=self.quiet, mininterval=5,
        )  # fmt: skip
        for batch in bar:
            parts = self._step(model, batch)
            count += 1
            for key, value in parts.items():
                sums[key] = sums.get(key, 0.0) + value
            if count % 20 == 0 and hasattr(bar, "set_postfix_str"):
                bar.set_postfix_str(f"loss {sums['loss'] / count:.4f}", refresh=False)
                if self.processes.first:
                    self.folder.log("step/loss", sums["loss"] / count, self.done)
            stopping = self.processes.agree(stop())
            inside = self.done % steps > 0  # at the epoch's end its row comes before the checkpoint
            if inside and stopping:
                self._save()
                return False
            if inside and time.monotonic() - self.saved > settings.checkpoint_seconds:
                self._save()
        row: dict[str, float | int] = {"epoch": epoch + 1, "seconds": time.monotonic() - began}
        if self.device.type == "cpu":  # what a busy machine does not stretch
            row["cpu_seconds"] = time.process_time() - began_cpu
        row |= {f"train_{k}": v / max(count, 1) for k, v in sums.items()}
        self.average.eval()
        if self.processes.first:
            row |= {f"val_{k}": v for k, v in self.task.evaluate(self.average.module).items()}
            if settings.patience and "val_loss" not in row:
                raise DataError(
                    "[loop] has patience, but this training's validation gives no loss; leave it out"
                )
            # in this order: a row without its checkpoint is dropped and made anew, one never written is lost
            self.folder.add_row(row)
        self._judge(float(row.get("val_loss", math.inf)))
        self._save()
        if not self.quiet:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
        wait_for_all()
        return not stopping

    def _step(self, model: nn.Module, batch: list[Tensor]) -> dict[str, float]:
        settings = self.settings
        rate = _rate(self.done, self.total, settings)
        for group, scale in zip(self.optimiser.param_groups, self.scales, strict=True):
            group["lr"] = rate * scale
        batch = [part.to(self.device, non_blocking=True) for part in batch]
        torch.manual_seed(self.seed * 1_000_003 + self.done)  # dropout, too, depends on seed and step alone
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.bfloat16):
            loss, parts = self.task.loss(model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.done += 1
        return {"loss": loss.item(), **parts}

    def _judge(self, loss: float) -> None:
        """Counts the epochs since the last lower validation loss."""
        better = self.processes.agree(loss < self.best)
        self.best, self.worse = (loss, 0) if better else (self.best, self.worse + 1)

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.processes.first:
            self.folder.save_checkpoint(
                {"model": self.model.state_dict(), "average": self.average.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "steps": self.done, "best": self.best,
                 "worse": self.worse}
            )  # fmt: skip


def _group(model: nn.Module, settings: LoopSettings, head: bool) -> dict[str, Any]:
    names = tuple(settings.head)
    return {
        # those that do not learn now may later; without a gradient the optimiser leaves them alone
        "params": [p for n, p in model.named_parameters() if n.startswith(names) == head]
        if names
        else ([] if head else list(model.parameters()))
    }


def _rate(step: int, total: int, settings: LoopSettings) -> float:
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    share = (step - settings.warm_up) / max(total - settings.warm_up, 1)
    return settings.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
