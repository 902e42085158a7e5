"""``maskgate export``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from maskgate.cli.options import Commands, add_command, add_group, existing_folder
from maskgate.cli.training_options import needing_the_extra

_KINDS = {
    "detector": ("a trained detector", "A detector of your own."),
    "classifier": ("a trained classifier", "A classifier of your own."),
    "direct": ("a trained mask finder", "Finds faces and says what is on them, in one pass."),
    "facenet-svm": ("FaceNet and its machine", "A support vector machine over FaceNet's embeddings."),
    "pca": ("eigenfaces and their rule", "Eigenfaces and a rule over them."),
    "cascade": ("a trained cascade", "Three small networks in sequence that find masked faces."),
    "mtcnn": ("MTCNN's published networks", "MTCNN: proposals over an image pyramid, refined twice."),
}
"""What each writes, and how its card describes it unless told."""


def add_commands(commands: Commands) -> None:
    """Adds ``export`` with a command for each of the kinds."""
    group = add_group(commands, "export", "Makes a model of a training run; needs the extra 'train'.")
    for kind, (what, _) in _KINDS.items():
        mtcnn = kind == "mtcnn"
        command = add_command(
            group,
            kind,
            f"Writes {what} with its model card.",
            details="In the folder of your own models it can be chosen by its name at once.",
            example=f"maskgate export {kind} {'weights' if mtcnn else 'runs'}/{kind} --name my-{kind} "
            "--output ~/.local/share/maskgate/models",
        )
        command.add_argument(
            "folder",
            metavar="WEIGHTS" if mtcnn else "RUN",
            type=existing_folder,
            help="folder of pnet.pt, rnet.pt and onet.pt" if mtcnn else "the finished run's folder",
        )
        command.add_argument("--name", required=True, help="what users choose the model by")
        command.add_argument(
            "--output", metavar="DIR", type=Path, required=True, help="where the network and NAME.json go"
        )
        command.add_argument(
            "--model-version", metavar="TEXT", default="1", help="version of the weights (default: 1)"
        )
        command.add_argument(
            "--description", metavar="TEXT", default="", help="one sentence (default: says what it is)"
        )
        command.add_argument(
            "--licence", metavar="TEXT", default="not stated", help="of the weights (default: not stated)"
        )
        command.add_argument(
            "--commit", metavar="TEXT", default="", help="of the repository that trained it (default: none)"
        )
        command.add_argument(
            "--figures",
            metavar="NAME=FILE",
            type=_named_figures,
            action="append",
            default=[],
            help="what 'maskgate evaluate scenes' wrote, under the name of the test data; may be repeated",
        )
        command.set_defaults(run=_run_export, kind=kind)


def _run_export(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training import publish
        from maskgate.training.mtcnn import publish_mtcnn

    edition = publish.Edition(
        name=arguments.name,
        version=arguments.model_version,
        description=arguments.description or _KINDS[arguments.kind][1],
        licence=arguments.licence,
        commit=arguments.commit,
        tests=dict(arguments.figures),
    )
    write = {
        "detector": publish.publish_detector,
        "classifier": publish.publish_classifier,
        "direct": publish.publish_direct,
        "facenet-svm": publish.publish_facenet_svm,
        "pca": publish.publish_pca,
        "cascade": publish.publish_cascade,
        "mtcnn": publish_mtcnn,
    }[arguments.kind]
    card = write(arguments.folder, arguments.output, edition)
    sys.stdout.write(f"{card.path}\n{arguments.output / f'{card.name}.json'}\n")
    return 0


def _named_figures(text: str) -> tuple[str, dict[str, Any]]:
    name, sign, file = text.partition("=")
    if not (name and sign and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    try:
        figures = json.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{file} is not JSON: {error}") from error
    if not isinstance(figures, dict):
        raise argparse.ArgumentTypeError(f"{file} holds no figures")
    return name, figures
