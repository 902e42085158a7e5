from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from maskgate.errors import ModelCorruptError, ModelNotFoundError
from maskgate.models import ModelCard
from maskgate.models.bundles import bundle_bytes, read_bundle

AddModel = Callable[..., ModelCard]
PARTS = {"a.onnx": b"one", "b.npz": bytes(range(256))}


def zipped(parts: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_what_goes_in_comes_out(add_model: AddModel) -> None:
    card = add_model("mine", bundle_bytes(PARTS), file="mine.zip")
    assert read_bundle(card, ("b.npz", "a.onnx")) == PARTS


def test_any_zip_program_reads_it_and_the_time_is_not_in_it() -> None:
    data = bundle_bytes(PARTS)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {n: archive.read(n) for n in archive.namelist()} == PARTS
        assert {part.date_time[0] for part in archive.infolist()} == {1980}
    assert data == bundle_bytes(PARTS)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK, no zip", "is no bundle"),
        (zipped(PARTS)[:-9], "is no bundle"),
        (zipped({"a.onnx": b"one"}), r"holds a\.onnx; wanted, uncompressed: a\.onnx, b\.npz"),
        (zipped(PARTS | {"c": b""}), r"holds a\.onnx, b\.npz, c;"),
        (zipped({}), "holds nothing;"),
        (
            zipped({"a.onnx": bytes(1 << 20), "b.npz": b""}, zipfile.ZIP_DEFLATED),
            "holds .*wanted, uncompressed",
        ),
    ],
)
def test_other_files(add_model: AddModel, data: bytes, told: str) -> None:
    card = add_model("mine", data)
    with pytest.raises(ModelCorruptError, match=rf"mine\.onnx {told}"):
        read_bundle(card, tuple(PARTS))


def test_a_damaged_part(add_model: AddModel) -> None:
    data = bytearray(bundle_bytes(PARTS))
    data[data.index(b"one")] ^= 1
    with pytest.raises(ModelCorruptError, match="is no bundle"):
        read_bundle(add_model("mine", bytes(data)), tuple(PARTS))


def test_a_missing_file(add_model: AddModel) -> None:
    card = add_model("mine", bundle_bytes(PARTS))
    card.path.unlink()
    with pytest.raises(ModelNotFoundError):
        read_bundle(card, tuple(PARTS))
