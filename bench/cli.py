"""Command line. Handlers import what they need when they run, so that `--help` is instant."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from bench.commands import values
from bench.commands.data.verbs import cache, data
from bench.commands.discovery.verbs import completion, init, list_, schema, show
from bench.commands.options import (
    Bounded,
    Seconds,
    SuiteOptions,
    data_options,
    device_option,
    equal_option,
    parse_list,
    parse_nodes,
    published_option,
    recorded_option,
    results_option,
    suite_options,
)
from bench.commands.results.verbs import results
from bench.commands.sharing.verbs import check_submission, hub, site, submit
from bench.core.errors import UserError, did_you_mean
from bench.core.text import printable
from bench.core.version import __version__
from bench.core.workarounds import left_out
from bench.processes.garbage import freeze_at_exit
from bench.processes.openmp import waiting
from bench.processes.streams import lost_output, use_lasting_streams
from bench.spec.rules import LABEL_FREE, TUNES_BY


class Suggesting(click.Group):
    """Command group that suggests a command whose name is close."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with a suggestion."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"unknown command '{args[0]}': {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Suggesting, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="transfer-bench")
def cli() -> None:
    """Which way of transferring a pretrained model should I use, and what does it cost?

    \b
    Start with:  bench run --suite quick
    """


@cli.command()
@suite_options()
@device_option
@results_option("Where records and the report go.  [default: results/<suite>]")
@click.option("--plan", "plan_only", is_flag=True, help="Print the cells and what they share, run nothing.")
@click.option(
    "--simulate",
    metavar="nodes=N",
    callback=parse_nodes,
    help="With --plan: simulate how long it takes, by recorded costs.",
)
@click.option("--fresh", is_flag=True, help="Run cells that are already recorded too.")
@click.option("--retry-failed", is_flag=True, help="Run cells again that failed or were skipped.")
@click.option("--keep-stale", is_flag=True, help="Keep records made by other code or other data.")
@click.option("--keep-features", is_flag=True, help="Keep features of test items, for maps in the report.")
@click.option("--no-share", is_flag=True, help="Each cell makes its own features and source stage.")
@click.option("--cell", metavar="KEY", help="Run one recorded cell again.")
@click.option(
    "--executor",
    metavar="local|ray|slurm",
    shell_complete=values.executors,
    default="local",
    help="Where cells run: processes here, a Ray cluster, Slurm jobs.  [default: local]",
)
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster.  [default: $RAY_ADDRESS, or one here]")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 4096),
    help="Cells at once.  [default: 1; on Ray, as many as the cluster has room for]",
)
@click.option(
    "--cells-per-device",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Cells that share an accelerator.  [default: 1]",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Seconds(min_open=True),
    help="A cell that takes longer has failed.",
)
def run(selection: SuiteOptions, no_share: bool, **options: Any) -> None:
    """Run a suite: what is not recorded yet, then the report.

    Cells that are recorded are not run again unless code or data have changed since; a suite that was
    interrupted goes on with the same command. Several such commands, on several machines, share the cells of
    one results folder.
    """
    from bench.commands.experiments import run as command

    sys.exit(command.run(command.RunOptions.parse(selection, share=not no_share, **options)))


@cli.command()
@suite_options("methods", "controls")
@click.option(
    "--method",
    metavar="M,...",
    shell_complete=values.methods,
    multiple=True,
    required=True,
    callback=parse_list,
    help="The method to tune, or several, each alike: names, family:NAME or patterns.",
)
@click.option("--only", metavar="NAME", help="Search this hyperparameter alone, as learning_rate.")
@click.option("--trials", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option(
    "--rule",
    metavar="NAME",
    default=TUNES_BY,
    show_default=True,
    help=f"What scores trials at 0 shots: {', '.join(LABEL_FREE)}.",
)
@device_option
@results_option("Where trials are kept.  [default: results/<suite>-tuning]")
def tune(selection: SuiteOptions, **options: Any) -> None:
    """Search a method's hyperparameters with what the protocol allows.

    Trials are scored on folds of the shots; at 0 shots by a rule that knows no target label (--rule). Labels
    of target validation and test items have no part. A study that was interrupted goes on with the same
    command. Of several methods, which get equally many trials, it prints a table of defaults and bests.
    """
    from bench.commands.experiments import tune as command

    sys.exit(command.tune(command.TuneOptions(selection, **options)))


@cli.command("rank-backbones")
@suite_options("methods", "source", "shots", "backbone", "steps", "seeds", "sets", "controls")
@click.option(
    "--dataset", metavar="D", shell_complete=values.datasets, help="A dataset's name, instead of a suite."
)
@click.option(
    "--backbones",
    metavar="A,B",
    shell_complete=values.backbones,
    multiple=True,
    callback=parse_list,
    help="Candidates.  [default: those available offline]",
)
@device_option
@click.option("--verify", is_flag=True, help="Fit a probe on each and print how well the scores rank them.")
def rank_backbones(selection: SuiteOptions, **options: Any) -> None:
    """Order pretrained networks for a target without training them.

    By LogME, shrunk H-score, H-score, TransRate and LEEP on the features of the target's labelled training
    images, which are kept for later runs. A suite or --data says which images and how large; with --dataset
    they are 64 pixels wide unless --image-size says otherwise.
    """
    from bench.commands.experiments import rank_backbones as command

    sys.exit(command.rank(command.RankOptions(selection, **options)))


@cli.command()
@suite_options("shots", "controls")
@click.option(
    "--shots",
    metavar="K",
    multiple=True,
    callback=parse_list,
    help="Only scenarios with so many labelled target items per class.",
)
@click.option("--max-seconds", metavar="X", type=Seconds(), help="Only methods within X s a cell.")
@equal_option
@click.option("--run", is_flag=True, help="Run what is missing, most expected gain a second first.")
@click.option(
    "--budget",
    metavar="SHARE",
    type=Bounded(0, 1, min_open=True),
    default=0.25,
    show_default=True,
    help="With --run or --simulate: share of the cost of running everything that may be spent.",
)
@click.option(
    "--simulate",
    metavar="DIR",
    shell_complete=values.results,
    help="Instead: replay schedules of --run on records, a folder's or a baseline's.",
)
@device_option
@results_option("Where the records are.  [default: results/<suite>]")
def recommend(selection: SuiteOptions, **options: Any) -> None:
    """Recommend a method, with its uncertainty, from a suite's records.

    With --run, and for several networks (--backbone A,B), it says for each question which method on which
    network, chosen by validation items. What is recorded counts, so that the same command goes on.
    """
    from bench.commands.experiments import recommend as command

    sys.exit(command.recommend(command.RecommendOptions(selection, **options)))


@cli.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=values.findings)
@click.option("--list", "list_only", is_flag=True, help="List the findings, run nothing.")
@click.option("--recorded", is_flag=True, help="Judge what is recorded, also what is committed; run nothing.")
@click.option("--update", metavar="FILE", help="Replace the tables of a Markdown file too.")
@device_option
@click.option("--workers", metavar="N", type=click.IntRange(1, 4096), help="Cells at once.  [default: 1]")
@results_option("Where the suites' folders are.  [default: results]")
def reproduce(list_only: bool, device: str, workers: int | None, **options: Any) -> None:
    """Measure findings of papers again: run their suites, and judge what they say by the records.

    Without a name, all of them. What is recorded is not run again; what was interrupted goes on with the same
    command. Verdicts are printed and written as a page.
    """
    from bench.commands.experiments import reproduce as command
    from bench.commands.experiments.run_plan import ExecutionOptions

    if list_only:
        command.show()
        return
    execution = ExecutionOptions(device=device, workers=workers)
    sys.exit(command.reproduce(command.ReproduceOptions(execution=execution, **options)))


@cli.command("check-search")
@suite_options("methods", "controls")
@click.option("--draws", metavar="N", type=click.IntRange(2, 1000), default=4, show_default=True)
@device_option
@results_option("Where records are kept.  [default: results/<suite>-search]")
def check_search(selection: SuiteOptions, **options: Any) -> None:
    """Compare nas-lite with random members of its space, and with random search, at equal cost.

    Random search trains N random members for an Nth of the steps each, and takes the one that does best on
    what the protocol lets a method choose by.
    """
    from bench.commands.experiments import check_search as command

    sys.exit(command.check(command.CheckSearchOptions(selection, **options)))


@cli.command()
@data_options
@published_option
@recorded_option
@click.option(
    "--suite",
    metavar="NAME",
    shell_complete=values.suites,
    help="The suite to go by.  [default: the one last run there]",
)
@click.option(
    "--out", metavar="FILE", help="The page, or tables as .md.  [default: report.html in the folder]"
)
@click.option("--update", metavar="FILE", help="Replace the tables of a Markdown file instead.")
@equal_option
@click.option("--serve", is_flag=True, help="Show the page on this machine, built anew as records arrive.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8000, show_default=True)
def report(
    results: str | None,
    suite: str | None,
    out: str | None,
    update: str | None,
    equal: str | None,
    serve: bool,
    port: int,
) -> None:
    """Build the report of a results folder, as `bench run` does at its end.

    With --equal the tables of --out FILE.md and --update, or else those that are printed, rank methods at
    the largest budget that all have reached.
    """
    if sum(map(bool, (out, update, serve))) > 1:
        raise UserError(
            "--out writes a file, --update changes one and --serve shows the page: give one of them"
        )
    if serve:
        from bench.commands.results import serve as live

        live.serve(results, suite, port)
        return
    from bench.commands.results import report as command

    if update:
        click.echo(command.update(results, update, suite, equal))
        return
    if equal and not out:
        click.echo(command.equal_budgets(results, suite, equal))
    click.echo(command.build(results, out, suite, equal))


@cli.command()
@data_options
@published_option
@click.argument("folder", metavar="DIR")
@recorded_option
@click.option(
    "--suite",
    metavar="NAME",
    shell_complete=values.suites,
    help="The suite to go by.  [default: the one last run there]",
)
def export(folder: str, results: str | None, suite: str | None) -> None:
    """Write every table and figure of the report into a folder.

    Tables as CSV, Parquet, Markdown and LaTeX (booktabs), figures as SVG, PDF and PNG.
    """
    from bench.commands.results import export as command

    command.export(folder, results, suite)


@cli.command()
@click.argument("tracker", metavar="mlflow|tensorboard|wandb", shell_complete=values.trackers)
@recorded_option
@click.option("--to", metavar="WHERE", help="A folder, or MLflow's address.  [default: the tracker's own]")
def track(tracker: str, results: str | None, to: str | None) -> None:
    """Write records as runs of an experiment tracker, through its own library.

    Settings become parameters, evaluations metrics by step, provenance tags.
    """
    from bench.commands.results import track as command

    command.track(tracker, results, to)


@cli.command()
@click.argument("base", metavar="BASE", shell_complete=values.results)
@click.argument("new", metavar="NEW", shell_complete=values.results)
@click.option("--max-accuracy-drop", metavar="POINTS", type=float, help="Let this much pass.")
@click.option("--max-slowdown", metavar="SHARE", type=float, help="0.15: let 15 % pass.")
@click.option("--out", metavar="FILE", multiple=True, help="Write .html, .json or .md; may be repeated.")
def compare(**options: Any) -> None:
    """Compare two results folders, baselines or REVISION:NAME; exit code 1 on a regression.

    Limits are the suite's [gate], unless given here.
    """
    from bench.commands.results import compare as command

    sys.exit(command.compare(**options))


@cli.group(cls=Suggesting)
def baseline() -> None:
    """Save records to commit and to compare with, list or remove them."""


@baseline.command("save")
@click.argument("name", metavar="NAME")
@recorded_option
def baseline_save(name: str, results: str | None) -> None:
    """Save a results folder as results/baselines/NAME, small enough to commit."""
    from bench.commands.results import baseline as command

    command.save(name, results)


@baseline.command("list")
def baseline_list() -> None:
    """List the saved baselines."""
    from bench.commands.results import baseline as command

    command.show()


@baseline.command("rm")
@click.argument("name", metavar="NAME")
def baseline_rm(name: str) -> None:
    """Remove a saved baseline."""
    from bench.commands.results import baseline as command

    command.remove(name)


@cli.group(cls=Suggesting, invoke_without_command=True)
@click.option("--out", metavar="FILE", help="The page.  [default: results/history/history.html]")
@click.pass_context
def history(context: click.Context, out: str | None) -> None:
    """Show results and speed over revisions, with change points.

    Prints a table for each suite and machine, and draws them on a page.
    """
    from bench.commands.results import history as command

    if context.invoked_subcommand is None:
        command.show(out)


@history.command("add")
@click.argument("sources", metavar="RESULTS...", nargs=-1, required=True)
@click.option("--revision", metavar="REV", help="Of all that is added.  [default: what it holds]")
def history_add(sources: tuple[str, ...], revision: str | None) -> None:
    """Add results folders, baselines, or files of pytest --benchmark-json.

    One line is kept for each suite, revision, machine and setting in results/history, to be committed; adding
    the same again changes nothing.
    """
    from bench.commands.results import history as command

    command.add(sources, revision)


results.add_command(check_submission)
for verb in (list_, show, init, schema, completion, submit, site, hub):
    cli.add_command(verb)
cli.add_command(data)
cli.add_command(cache)
cli.add_command(results)


def main() -> None:
    """Run the command line; a user's error is one line and exit code 2.

    Work goes on where its output cannot be written, as on a disk that is full; the exit code tells.
    """
    use_lasting_streams()
    # For this process, which has not loaded torch yet, and for its child processes.
    os.environ.update(waiting())
    freeze_at_exit()
    try:
        _run()
    except SystemExit as stop:
        if stop.code or not _tell_lost_output():
            raise
        sys.exit(1)
    if _tell_lost_output():
        sys.exit(1)


def _tell_lost_output() -> bool:
    """Tell why a part of the output could not be written; False where all was."""
    error = lost_output()
    if error:
        click.echo(
            f"error: cannot write to standard output: {error.strerror}; a part of it is lost", err=True
        )
    return error is not None


def _run() -> None:
    try:
        left_out()  # Complains here, before any worker reads what it says.
        cli.main(standalone_mode=False)
    except click.exceptions.Abort as stop:
        # click's exception for Ctrl-C; its cause holds what is kept.
        kept = stop.__cause__.args if stop.__cause__ else ()
        click.echo(": ".join(["interrupted", *map(str, kept)]), err=True)
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _complain(error.format_message())
    except UserError as error:
        _complain(str(error))
    except (OSError, MemoryError, ImportError, RuntimeError) as error:
        # What the system refuses may be met anywhere; other errors are handled where they happen.
        line = _limit(error) or _lack(error)
        if line is None:
            raise
        _complain(line)


LIMITS = {
    errno.EMFILE: "too few file descriptors: allow more (ulimit -n)",
    errno.ENFILE: "too few file descriptors: this machine has no more",
    errno.EAGAIN: "too few processes or threads: allow more (ulimit -u)",
    errno.ENOMEM: "too little memory: free some, or allow more (ulimit -v)",
    errno.ENOSPC: "a disk is full",
    errno.EDQUOT: "a disk's quota is used up",
    errno.EIO: "a disk fails",
    errno.EROFS: "a disk is read-only",
    errno.ESTALE: "a network disk has changed below this command: run it again",
    errno.ETIMEDOUT: "a network disk does not answer: run this again once it does",
    errno.EHOSTDOWN: "a network disk's server is down: run this again once it is up",
    errno.ENOTCONN: "a network disk is not connected: mount it again",
    errno.ENODEV: "a disk has gone away: mount it again",
    errno.ENXIO: "a disk has gone away: mount it again",
}
"""What to do about limits of the system, by the error's number."""
IN_WORDS = {
    "can't start new thread": errno.EAGAIN,
    "Too many open files": errno.EMFILE,
    "Cannot allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
}
"""The same limits, by the words of errors that have no number."""


def _limit(error: Exception) -> str | None:
    """Say in a line what the system refused, and what to do where that is known; None for other errors."""
    if isinstance(error, MemoryError):
        return LIMITS[errno.ENOMEM]
    number = next((number for words, number in IN_WORDS.items() if words in str(error)), None)
    if not isinstance(error, OSError):
        return LIMITS[number] if number else None
    if error.errno == errno.ENAMETOOLONG:
        return f"'{str(error.filename)[:40]}…' is too long for a file's name: give a shorter path"
    # Whatever its number, if it has one: a system may refuse any file at any moment, for reasons of its own.
    said = LIMITS.get(error.errno or number or 0) or error.strerror or str(error) or type(error).__name__
    where = error.filename
    return f"{said} ('{os.fsdecode(where)}')" if isinstance(where, str | bytes | os.PathLike) else said


def _lack(error: Exception) -> str | None:
    """Say in a line which package an installation for reports lacks; None for other errors."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if not name or name.partition(".")[0] == "bench":
        return None
    return f"this needs '{name}', which is not installed: pip install transfer-bench, with what it depends on"


def _complain(message: str) -> None:
    click.echo(f"error: {printable(' '.join(message.split()))}", err=True)
    sys.exit(2)
