"""``maskgate train``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from maskgate.cli.options import (
    Commands,
    add_command,
    add_group,
    at_least_one,
    existing_file,
)
from maskgate.cli.training_options import (
    add_face_options,
    add_found_faces_option,
    add_recipe_options,
    add_threads_option,
    add_training_options,
    create_places,
    needing_the_extra,
)
from maskgate.models.sessions import available_processors


def add_commands(commands: Commands) -> None:
    """Adds ``train detector``, ``classifier``, ``backbone``, ``suspects``, ``facenet-svm``, ``pca``,
    ``cascade`` and ``direct``."""
    group = add_group(commands, "train", "Trains the networks; needs the extra 'train'.")
    details = (
        "The same command with the same --output goes on from the last checkpoint. At the end model.onnx "
        "lies there, with settings, curves and figures beside it."
    )
    detector = add_command(
        group,
        "detector",
        "Trains the network that finds faces.",
        details=details,
        example="maskgate train detector --recipe recipes/detector.toml --data data --weights weights "
        "--output runs/detector",
    )
    detector.add_argument(
        "--start",
        metavar="NAME",
        help="'scratch', a start that the recipe names, or a file of weights, model.onnx of a detector among "
        "them (default: the recipe's)",
    )
    add_found_faces_option(detector)
    classifier = add_command(
        group,
        "classifier",
        "Trains the network that says what is on a face.",
        details=details,
        example="maskgate train classifier --recipe recipes/classifier.toml --data data --weights weights "
        "--output runs/classifier",
    )
    backbone = add_command(
        group,
        "backbone",
        "Trains a network that knows faces, for a classifier to start from.",
        details="It learns with ArcFace from a folder of pictures a person, or by distilling: to give the "
        "same embedding of a face as a network that knows faces. The same command with the same --output "
        "goes on. At the end backbone.safetensors lies there: a start for 'maskgate train classifier'.",
        example="maskgate train backbone --loss distil --recipe recipes/studies/backbone.toml --data data "
        "--weights weights --output runs/backbone",
    )
    backbone.add_argument(
        "--loss",
        choices=("arcface", "distil"),
        default="arcface",
        help="what it learns by (default: arcface)",
    )
    suspects = add_command(
        group,
        "suspects",
        "Lists pictures whose label classifiers doubt that have not learnt from them.",
        details="The faces are dealt into folds; for each a classifier learns from the others. Writes "
        "suspects.csv and contact sheets for you to look at; your verdicts go into the recipe's corrections.",
        example="maskgate train suspects --recipe recipes/classifier.toml --data data --weights weights "
        "--epochs 5 --output runs/suspects",
    )
    suspects.add_argument(
        "--folds", metavar="N", type=at_least_one, default=3, help="of the faces (default: 3)"
    )
    suspects.add_argument(
        "--below",
        metavar="P",
        type=float,
        default=0.2,
        help="list labels less likely than this (default: 0.2)",
    )
    facenet_svm = add_command(
        group,
        "facenet-svm",
        "Fits a support vector machine to FaceNet's embeddings, to compare with the classifier.",
        details="Kernel and costs are chosen by cross-validation on the recipe's faces. At the end model.zip "
        "lies there. Needs the extra 'eval' too.",
        example="maskgate train facenet-svm --recipe recipes/classifier.toml --data data --weights weights "
        "--output runs/facenet-svm",
    )
    add_recipe_options(facenet_svm)
    add_threads_option(facenet_svm)
    add_face_options(facenet_svm, "'crops' beside the run folder")
    pca = add_command(
        group,
        "pca",
        "Fits eigenfaces and a rule over them, to compare with the classifier.",
        details="The number of eigenfaces and the rule are chosen on the recipe's validation faces. At the "
        "end model.npz lies there, and eigenfaces.svg shows it. Needs the extra 'eval' too.",
        example="maskgate train pca --recipe recipes/classifier.toml --data data --weights weights "
        "--output runs/pca",
    )
    add_recipe_options(pca)
    add_face_options(pca, "'crops' beside the run folder")
    cascade = add_command(
        group,
        "cascade",
        "Trains three small networks in sequence that find masked faces, to compare with the detector.",
        details="Each learns from what the one before lets through wrongly. The same command with the same "
        "--output goes on from the last checkpoint. At the end model.zip lies there.",
        example="maskgate train cascade --recipe recipes/cascade.toml --data data --weights weights "
        "--output runs/cascade",
    )
    add_face_options(cascade, "'crops' beside the run folder")
    direct = add_command(
        group,
        "direct",
        "Trains one network that finds faces and says what is on them, in one pass.",
        details=details,
        example="maskgate train direct --recipe recipes/direct.toml --data data --weights weights "
        "--output runs/direct",
    )
    direct.add_argument(
        "--start",
        metavar="FILE",
        help="weights of a detector, as model.safetensors of 'maskgate train detector', or 'scratch' "
        "(default: the recipe's)",
    )
    add_face_options(direct, "'crops' beside the run folder")
    for command in (detector, classifier, backbone, suspects, cascade, direct):
        add_training_options(command)
    for command in (classifier, backbone, suspects):
        command.add_argument("--architecture", metavar="NAME", help="of the network (default: the recipe's)")
        command.add_argument(
            "--start",
            metavar="NAME",
            help="'scratch', a start that the recipe names, or a file of weights (default: the recipe's)",
        )
        command.add_argument("--seed", metavar="N", type=int, help="of the training (default: the recipe's)")
        add_face_options(command, "'crops' beside the run folder")
    classifier.add_argument(
        "--strategy",
        choices=("finetune", "frozen", "gradual"),
        help="let all of the network learn, only its last layer, or one part after the other "
        "(default: the recipe's)",
    )
    classifier.add_argument(
        "--labeller",
        metavar="FILE",
        type=existing_file,
        help="model.onnx of an earlier run, to label the pictures that have no labels "
        "(default: these are left out)",
    )
    detector.set_defaults(run=_run_detector)
    classifier.set_defaults(run=_run_classifier)
    backbone.set_defaults(run=_run_backbone)
    suspects.set_defaults(run=_run_suspects)
    facenet_svm.set_defaults(run=_run_facenet_svm)
    pca.set_defaults(run=_run_pca)
    cascade.set_defaults(run=_run_cascade)
    direct.set_defaults(run=_run_direct)


def _run_detector(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.detector import train_detector
        from maskgate.training.recipe import read_recipe

    train_detector(
        read_recipe(arguments.recipe, epochs=arguments.epochs, start=arguments.start),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "model.onnx")


def _run_classifier(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.classifier import train_classifier
        from maskgate.training.recipe import read_recipe

    train_classifier(
        read_recipe(arguments.recipe, strategy=arguments.strategy, **_changes(arguments)),
        create_places(arguments, arguments.output.parent / "crops", arguments.labeller),
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "model.onnx")


def _run_backbone(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.embedding import train_backbone
        from maskgate.training.recipe import read_recipe

    train_backbone(
        read_recipe(arguments.recipe, **_changes(arguments)),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        loss=arguments.loss,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "backbone.safetensors")


def _run_suspects(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.label_noise import find_suspects
        from maskgate.training.recipe import read_recipe

    find_suspects(
        read_recipe(arguments.recipe, **_changes(arguments)),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        folds=arguments.folds,
        below=arguments.below,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "suspects.csv")


def _run_facenet_svm(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.facenet_svm import train_facenet_svm
        from maskgate.training.recipe import read_recipe

    train_facenet_svm(
        read_recipe(arguments.recipe),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        threads=arguments.threads or available_processors(),
    )
    return _finish(arguments, "model.zip")


def _run_pca(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.studies.eigenfaces import write_eigenfaces_plot
        from maskgate.training.eigenfaces import train_eigenfaces
        from maskgate.training.recipe import read_recipe

    train_eigenfaces(
        read_recipe(arguments.recipe),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
    )
    write_eigenfaces_plot(arguments.output)
    return _finish(arguments, "model.npz")


def _run_cascade(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.cascade import train_cascade
        from maskgate.training.recipe import read_recipe

    train_cascade(
        read_recipe(arguments.recipe, epochs=arguments.epochs),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "model.zip")


def _run_direct(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.direct import train_direct
        from maskgate.training.recipe import read_recipe

    train_direct(
        read_recipe(arguments.recipe, epochs=arguments.epochs, start=arguments.start),
        create_places(arguments, arguments.output.parent / "crops"),
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments, "model.onnx")


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("epochs", "architecture", "start", "seed")
    return {name: getattr(arguments, name) for name in names}


def _finish(arguments: argparse.Namespace, file: str) -> int:
    sys.stdout.write(f"{arguments.output / file}\n")
    return 0
