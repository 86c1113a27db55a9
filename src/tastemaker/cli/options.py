"""What the commands share: options of one meaning, groups that show their help, and how a command ends."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tastemaker.cli.output import emit
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError

Report = Callable[..., Any]  # (task, done, total, note), see `cli.progress`
HERE = Path("workspace")
Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="TASTEMAKER_WORKSPACE",
        callback=lambda path: path and path.expanduser(),  # bash leaves --workspace=~/shop as it is
        help="The workspace folder (see `tastemaker init`).",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the tables and the report.")]
Seed = Annotated[int, typer.Option(help="Key of resampling and folds: same seed, same numbers.")]


def _with_unit(ctx: typer.Context, unit: str | None) -> str | None:
    """Read every time of the command in this unit, until it ends."""
    if unit is not None:
        from tastemaker.schema.moments import time_unit

        ctx.with_resource(time_unit(unit))
    return unit


TimeUnit = Annotated[
    str | None,
    typer.Option(
        callback=_with_unit,
        help=(
            "What numbers in the times count, instead of a guess: seconds, milliseconds, microseconds,"
            " nanoseconds, minutes, hours, days (since 1970, or of a spreadsheet) or years; or the order of"
            " 3/4/2023: day/month/year or month/day/year."
        ),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


class HelpfulGroup(TyperGroup):
    """A group of commands that prints its help, and ends well, when it is called with nothing; with options
    alone it lists, where it can.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the help where no argument is given; otherwise read the arguments."""
        if not args and not ctx.resilient_parsing:
            print(ctx.get_help())
            ctx.exit()
        if args and args[0].startswith("-") and args[0] not in ("--help", "-h") and "list" in self.commands:
            args = ["list", *args]
        for option in ("--items", "--interactions"):  # of which the last would be taken, without a word
            if sum(word.partition("=")[0] == option for word in args) > 1:
                raise InputError(f"{option} was given twice; give one file, or the folder of all")
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the whole first sentence of each; click cuts it at the line's end."""
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def group(text: str, name: str | None = None) -> typer.Typer:
    """A group of commands with `text` as its help; paragraphs that begin with two blanks are examples."""
    return typer.Typer(
        cls=HelpfulGroup,
        name=name,
        context_settings={"help_option_names": ["--help", "-h"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=with_examples(text),
    )


def with_examples(text: str) -> str:
    r"""`text`, indented as a docstring is, with its examples marked to be printed as they are written.

    An example is a line that begins with two blanks; a block of them, blank lines between left out, follows
    the mark `\b`, by which click leaves it as it is.
    """
    return re.sub(
        r"(?m)(?:^  .*(?:\n+(?=  )|$))+",
        lambda block: "\b\n" + re.sub(r"\n+", "\n", block[0]),
        inspect.cleandoc(text),
    )


def pairs(texts: list[str] | None, what: str) -> dict[str, str]:
    """`name=value` options as a mapping. Raises InputError naming the option `what`."""
    values = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{what} {text}: write it as name=value")
        values[name] = value
    return values


def finish(result: Mapping[str, Any], as_json: bool, fails: str = "") -> None:
    """Print what a flow returned; end with its `exit_code`, or 1 where its entry `fails` is false."""
    emit(result, as_json)
    code = result.get("exit_code", 0) if not fails else int(not result[fails])
    if code:
        raise typer.Exit(code)


def answers(
    fails: str = "", **groups: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """A command made of a function that returns what to print, or nothing; --json and --quiet are added to
    its options.

    fails: see `finish`. groups: parameter -> a function; the options of that function stand in its place, and
    make its value.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        parameters = inspect.signature(command, eval_str=True).parameters
        options = {name: _parameters(maker) for name, maker in groups.items()}
        reports = "report" in parameters
        listed = [
            option
            for name, parameter in parameters.items()
            if name != "report"
            for option in options.get(name, {name: parameter}).values()
        ]
        listed += list(_parameters(_printed).values())

        def run(**values: Any) -> None:
            as_json, quiet = values.pop("as_json"), values.pop("quiet")
            for name, names in options.items():
                values[name] = groups[name](**{option: values.pop(option) for option in names})
            with progress(quiet) if reports else nullcontext() as report:
                result = command(**values, **({"report": report} if reports else {}))
            if result:
                finish(result, as_json, fails)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in listed}
        return run

    return decorate


def command(
    app: typer.Typer, name: str | None = None, fails: str = "", **groups: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """`answers` as a command of `app`, by its function's name where no other is given."""
    return lambda function: app.command(name)(answers(fails, **groups)(function))


def _parameters(maker: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(maker, eval_str=True).parameters


def _printed(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """The options that `answers` adds."""
