"""The recipe of a comparison: its methods, and what each is made of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from maskgate.errors import DataError
from maskgate.models.cards import Task
from maskgate.models.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR
from maskgate.studies.speed import SpeedSettings
from maskgate.studies.transfer import recipe_for_folder
from maskgate.training.facenet_svm import FaceNetSettings
from maskgate.training.labelling import first_file
from maskgate.training.mtcnn import FILES
from maskgate.training.recipe import build, read_recipe

TrainedKind = Literal["resnet", "facenet-svm", "pca", "cascade", "direct"]


@dataclass(frozen=True)
class Part:
    """A method's detector or classifier in a comparison's recipe: one of three.

    Attributes:
        model: name of a model that is there.
        train: kind of one that is trained by ``recipe``, a file relative to the comparison's.
        weights: folder of published weights below one of the weights folders, for MTCNN.
        recipe: see ``train``.
        run: name of the run folder; that of the kind unless given.
    """

    model: str = ""
    train: str = ""
    weights: str = ""
    recipe: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        if [bool(self.model), bool(self.train), bool(self.weights)].count(True) != 1:
            raise DataError(
                "a detector or classifier of a method wants one of 'model', 'train' and 'weights'"
            )
        if self.train and self.train not in get_args(TrainedKind):
            known = ", ".join(get_args(TrainedKind))
            raise DataError(f"a method has train = {self.train!r}; known are {known}")
        if bool(self.train) != bool(self.recipe):
            raise DataError("a method's 'train' and 'recipe' go together: what to train, and how")

    @property
    def folder(self) -> str:
        """Name of its run folder and of its model."""
        return self.run or self.train or Path(self.weights).name


@dataclass(frozen=True)
class MethodRecipe:
    """``[[method]]`` of a comparison's recipe.

    Attributes:
        name: in figures and files.
        title: in tables.
        detector: fields of :class:`Part`.
        classifier: likewise; None where the detector says what is on the faces.
    """

    name: str
    title: str
    detector: Mapping[str, str]
    classifier: Mapping[str, str] | None = None

    @property
    def parts(self) -> dict[Task, Part]:
        """By task."""
        where = f"the {{}} of method {self.name!r}"
        parts: dict[Task, Part] = {"detection": build(Part, self.detector, where.format("detector"))}
        if self.classifier is not None:
            parts["classification"] = build(Part, self.classifier, where.format("classifier"))
        return parts


@dataclass(frozen=True)
class RobustnessSettings:
    """``[robustness]`` of a comparison's recipe.

    Attributes:
        faces: given faces, drawn by lot.
        pictures: of them, looked for end to end.
    """

    faces: int = 600
    pictures: int = 120


@dataclass(frozen=True)
class ComparisonRecipe:
    """A comparison's recipe.

    Attributes:
        methods: in the order of the tables.
        default: name of the method that the others are set against.
        split: path of the recipe whose split judges, a key of ``recipes``.
        recipes: all recipes by path.
        folders: the folder of each, which its corrections are relative to.
        speed, robustness: settings.
        learnt: faces that the accuracy on the learning sample is taken from, at most.
    """

    methods: tuple[MethodRecipe, ...]
    default: str
    split: str
    recipes: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Path]
    speed: SpeedSettings = field(default_factory=SpeedSettings)
    robustness: RobustnessSettings = field(default_factory=RobustnessSettings)
    learnt: int = 3000

    def __post_init__(self) -> None:
        names = [method.name for method in self.methods]
        if self.default not in names or len(set(names)) < len(names):
            raise DataError(
                f"the comparison's methods are {', '.join(names) or 'none'}; give each a name of its own, "
                f"and 'default' one of them, not {self.default!r}"
            )
        runs: dict[str, Part] = {}
        for part in (part for method in self.methods for part in method.parts.values() if not part.model):
            if runs.setdefault(part.folder, part) != part:
                raise DataError(f"two methods have the run {part.folder!r} with other recipes; name a 'run'")

    def only(self, names: Sequence[str]) -> ComparisonRecipe:
        """The comparison of some methods, the default one always among them."""
        kept = tuple(m for m in self.methods if m.name in names or m.name == self.default)
        return replace(self, methods=kept)


@dataclass(frozen=True)
class _Table:
    """A comparison's recipe as the file has it."""

    split: str
    default: str
    method: tuple[Mapping[str, str | Mapping[str, str]], ...]
    speed: Mapping[str, int] | None = None
    robustness: Mapping[str, int] | None = None
    learnt: int = 3000


def read_comparison(file: Path, epochs: int | None = None) -> ComparisonRecipe:
    """Reads a comparison's recipe, and those that it names; ``epochs`` is that of all trainings.

    Raises :class:`~maskgate.errors.DataError` naming the file and field that is missing or wrong.
    """
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}; name a recipe file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not TOML: {error}") from error
    content = build(_Table, table, str(file))
    methods = tuple(build(MethodRecipe, entry, f"{file}, [[method]]") for entry in content.method)
    paths = [content.split, *(part.recipe for m in methods for part in m.parts.values() if part.recipe)]
    return ComparisonRecipe(
        methods,
        content.default,
        content.split,
        {path: read_recipe(file.parent / path, epochs=epochs) for path in paths},
        {path: (file.parent / path).parent for path in paths},
        build(SpeedSettings, content.speed or {}, f"{file}, [speed],"),
        build(RobustnessSettings, content.robustness or {}, f"{file}, [robustness],"),
        content.learnt,
    )


def comparison_of_folder(data: Path, weights: Sequence[Path], epochs: int | None = None) -> ComparisonRecipe:
    """The comparison for a folder of the user's own, as
    :func:`~maskgate.studies.transfer.recipe_for_folder` takes it.

    All methods that need no published weights, that of MTCNN and FaceNet where these are below one of the
    folders ``weights``, and the models that ship.
    """
    split = recipe_for_folder(data, {}, [])
    cascade = split | {
        "loop": {"epochs": epochs or 8, "samples": 12800, "batch": 128, "rate": 2e-3, "warm_up": 50,
                 "average": 0.99, "bfloat16": False},
    }  # fmt: skip
    finder, shipped = {"model": DEFAULT_DETECTOR}, {"model": DEFAULT_CLASSIFIER}
    facenet = {"train": "facenet-svm", "recipe": "the folder"}
    needed = [*(f"mtcnn/{name}" for name in FILES.values()), FaceNetSettings().file]
    there = bool(weights) and all(first_file(weights, name).is_file() for name in needed)
    mtcnn = MethodRecipe("mtcnn-facenet-svm", "MTCNN + FaceNet + SVM", {"weights": "mtcnn"}, facenet)
    return ComparisonRecipe(
        (
            *((mtcnn,) if there else ()),
            MethodRecipe("pca", "PCA", finder, {"train": "pca", "recipe": "the folder"}),
            MethodRecipe("cascade-cnn", "3 Cascade-CNN", {"train": "cascade", "recipe": "the cascade"}),
            MethodRecipe("retinaface-resnet", "RetinaFace + ResNet (TL)", finder, shipped),
        ),
        "retinaface-resnet",
        "the folder",
        {"the folder": split, "the cascade": cascade},
        {"the folder": data, "the cascade": data},
    )
