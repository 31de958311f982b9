"""The `nerveseg` command: work with a data set or a trained model outside of the pipeline."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import shtab

from nerveseg import commands
from nerveseg.annotation_files import MASK_FORMATS
from nerveseg.errors import told_plainly
from nerveseg.invocation import Parser, Typed, megabytes, port

EXPORTED = Path("models/exported")  # argparse would resolve a string against the current folder


def command_line(typed: Typed) -> Parser:
    """Return the parser of all commands, from which the documents are made, too."""
    parser = Parser(prog="nerveseg", description="Outline nerves in ultrasound frames.")
    parser.add_argument("--version", action="version", version=f"nerveseg {version('nerveseg')}")
    shtab.add_argument_to(
        parser, ["--print-completion"], help="print a script that completes commands, options and files"
    )
    parser.set_defaults(run=parser.print_help)
    subparsers = parser.add_subparsers(metavar="COMMAND")

    def command(run: Callable[..., int], purpose: str) -> Parser:
        added = subparsers.add_parser(run.__name__, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        added.set_defaults(run=run)
        return added

    checking = command(commands.check, "check a folder of frames and masks, and report what would be used")
    checking.add_argument("directory", type=typed.path, help="folder of frames and masks")
    checking.add_argument("--json", dest="as_json", action="store_true", help="print all findings as JSON")
    checking.add_argument(
        "--clear-names", action="store_true", help="print paths of DICOM files instead of digests; do not share them"
    )
    predicting = command(commands.predict, "segment images, DICOM loops, videos, or folders of them")
    predicting.add_argument("paths", type=typed.path, nargs="+", help="images, DICOM files, videos, or folders of them")
    predicting.add_argument("--out", type=typed.path, required=True, help="folder for masks and predictions.csv")
    predicting.add_argument(
        "--format", dest="mask_format", choices=MASK_FORMATS, default=MASK_FORMATS[0],
        help="of the masks: png (with overlays and films of loops), or what an annotation tool opens (default: %(default)s)",
    )  # fmt: skip
    predicting.add_argument(
        "--model",
        type=typed.model,
        default=EXPORTED,
        help="folder of a model, or a registered model: models:/nerveseg@champion, models:/nerveseg/3 "
        "(default: models/exported)",
    )
    predicting.add_argument("--kaggle", action="store_true", help="write submission.csv of the 2016 challenge as well")
    command(commands.scores, "print the scores that matter, beside the baselines and the last commit's")
    folding = command(commands.folds, "print mean and spread of the scores over the folds and seeds of DVC experiments")
    folding.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="name of a DVC experiment (default: all of this commit)"
    )
    folding.add_argument(
        "--ensemble", type=typed.path, metavar="DIR", help="write an ensemble of their models here, and print no table"
    )
    gating = command(commands.gate, "compare the scores with a commit or a registered model, and fail if they fell")
    gating.add_argument(
        "--base", required=True, metavar="REV", help="commit, branch, tag or registered model to compare with"
    )
    gating.add_argument("--md", action="store_true", help="print Markdown for a pull request")
    promoting = command(commands.promote, "make a registered model the champion if it passes the gate")
    promoting.add_argument("--version", type=int, metavar="N", help="version to promote (default: the challenger)")
    command(commands.sync, "send to MLflow what was kept on disk while it could not be reached")
    serving = command(commands.serve, "segment frames that are sent over HTTP, on this machine alone")
    serving.add_argument(
        "--model",
        type=typed.model,
        default="models:/nerveseg@champion",
        help="registered model, or the folder of one (default: %(default)s)",
    )
    serving.add_argument("--port", type=port, default=5001, help="port on 127.0.0.1 (default: %(default)s)")
    serving.add_argument(
        "--limit", type=megabytes, default=20.0, metavar="MB", help="size of the largest request (default: %(default)g)"
    )
    sweeping = command(commands.sweep, "search for better params with Optuna; each trial is a DVC experiment")
    sweeping.add_argument("name", help="name of the sweep; its experiments are called NAME-0, NAME-1, ...")
    sweeping.add_argument(
        "--trials", type=int, required=True, metavar="N", help="number of trials, including those that have run already"
    )
    sweeping.add_argument(
        "-S",
        dest="values",
        action="append",
        required=True,
        metavar="KEY=VALUES",
        help="a range (lr=1e-4..1e-2), a choice (unet.base_filters=8,16), or one value for all trials",
    )
    sweeping.add_argument(
        "--score", default="val_dice",
        help="score to maximise: %(default)s (the default), a score of the refiners on val, or a key of metrics/metrics.json",
    )  # fmt: skip
    watching = command(commands.watch, "outline live frames on a web page of this machine")
    watching.add_argument(
        "source", type=typed.source, help="a video or cine loop, a folder that grows, or the number of a capture device"
    )
    watching.add_argument("--model", type=typed.model, default=EXPORTED, help="as for predict (default: %(default)s)")
    watching.add_argument("--loop", action="store_true", help="play a video or cine loop again and again, until Ctrl-C")
    watching.add_argument("--port", type=port, default=5002, help="port on 127.0.0.1 (default: %(default)s)")
    for reading in (predicting, watching):
        reading.add_argument(
            "--grey-range", type=float, nargs=2, metavar=("BLACK", "WHITE"),
            help="grey levels that are black and white in 16-bit and floating-point files (default: those of the model's "
            "data set, else decided from the files)",
        )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    with told_plainly():
        parser = command_line(Typed())
        given = vars(parser.parse_args(arguments))
        given.pop("print_completion")  # has printed by itself
        sys.exit(given.pop("run")(**given) or 0)


if __name__ == "__main__":
    main()
