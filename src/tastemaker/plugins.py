"""Parts that other packages add: entry points, loaded when first asked for.

A package names a function under the group of what it adds, in its own pyproject.toml:

    [project.entry-points."tastemaker.encoders"]
    palette = "my_package:palette"

Groups, and the function of each:

encoders    (items: pyarrow.Table) -> (N, d) float32 vectors in row order, NaN rows where there is none:
            a view of that name. Called with new items alone, too.
tokenizers  (views: {name: (N, d)}, sizes: (K_1, ..., K_L), seed: int) -> semantic_ids.Codebook.
            Chosen by the setting `tokenizer`.
rerankers   (query, slate) -> slate, the `Query` and `Slate` of `tastemaker.serving`. All installed ones
            run, by name, after the search and before the draw.
estimators  (log: explore.Log, policy: explore.Policy) -> (n,) terms whose mean is the estimate, or
            `explore.Contributions`. Chosen by `explore estimate --estimator`.
judges      () -> an object that answers as `tastemaker.chat.Chat` does; named by `--judge`.
chat        (name: str) -> `tastemaker.chat.Chat`; chosen by `--model NAME`.
"""

from __future__ import annotations

import ast
import difflib
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tastemaker.errors import InputError

GROUPS = ("encoders", "tokenizers", "rerankers", "estimators", "judges", "chat")
_log = logging.getLogger("tastemaker.plugins")


@lru_cache
def _installed(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ValueError(f"there is no group of plugins '{group}'; the groups are {', '.join(GROUPS)}")
    return {point.name: point for point in sorted(entry_points(group=f"tastemaker.{group}"))}


def names(group: str) -> tuple[str, ...]:
    """Names of the plugins that are installed in a group, sorted; none of them is loaded."""
    return tuple(_installed(group))


def versions(group: str, chosen: Iterable[str] | None = None) -> dict[str, str]:
    """Name -> 'package version' of plugins (all, or those `chosen`): what results made with them need."""
    wanted = names(group) if chosen is None else [name for name in chosen if name in names(group)]
    return {name: " ".join(_package(_installed(group)[name])) for name in wanted}


@lru_cache
def load(group: str) -> dict[str, Any]:
    """Name -> function of every plugin of a group that can be loaded, by name.

    One that cannot is a single line on standard error that names its package; the others are not affected.
    """
    loaded: dict[str, Any] = {}
    for name in names(group):
        try:
            loaded[name] = get(group, name)
        except InputError as error:
            _log.warning("%s", error)
    return loaded


def get(group: str, name: str) -> Any:
    """The plugin of that name.

    Raises InputError when none is installed under the name, or its package cannot be loaded.
    """
    point = _installed(group).get(name)
    if point is None:
        near = difflib.get_close_matches(name, names(group), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"installed: {', '.join(names(group)) or 'none'}"
        raise InputError(f"no plugin '{name}' is installed for {group}; {hint}")
    try:
        with aside():
            plugin = point.load()
    except (Exception, SystemExit) as error:  # whatever somebody else's package raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        package = _package(point)[0]
        raise InputError(
            f"plugin '{name}' ({group}) of the package '{package}' cannot be loaded ({reason}); upgrade or"
            f" uninstall it: pip uninstall {package}"
        ) from None
    if not callable(plugin):
        raise InputError(
            f"plugin '{name}' ({group}) of the package '{_package(point)[0]}' is no function; see"
            " tastemaker.plugins"
        )
    return plugin


def call(group: str, name: str, *arguments: Any, convert: Callable[[Any], Any] = lambda value: value) -> Any:
    """What the plugin of that name gives back for `arguments`, as `convert` takes it; InputError naming the
    plugin when it fails, or gives what cannot be read.
    """
    plugin = get(group, name)
    try:
        with aside():
            return convert(plugin(*arguments))
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody else's function raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        package = _package(_installed(group)[name])[0]
        raise InputError(
            f"plugin '{name}' ({group}) of the package '{package}' failed ({reason}); mend or uninstall it"
        ) from None


def aside() -> AbstractContextManager[object]:
    """What somebody else's function prints goes to standard error: standard output has what the command says.
    Only in the main thread, for all threads have one standard output.
    """
    main = threading.current_thread() is threading.main_thread()
    return redirect_stdout(sys.stderr) if main else nullcontext()


def on_demand(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package whose names are looked up when first asked for.

    file: of the package; its names are those that it imports for type checkers, each from its module.
    """
    imports = (
        node
        for node in ast.walk(ast.parse(Path(file).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    )
    home = {
        name.name: node.module
        for node in imports
        for name in node.names
        if node.module and node.module.startswith(f"{package}.")
    }

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(home[name]), name)

    return find, lambda: sorted(home), sorted(home)


def names_below(package: str) -> Callable[[str], Any]:
    """`__getattr__` of a package that has its modules' names too, as scripts of version 0.1 import them."""

    def find(name: str) -> Any:
        modules = [module.name for module in iter_modules(import_module(package).__path__)]
        if name not in modules and not name.startswith("_"):
            for module in modules:
                home = import_module(f"{package}.{module}")
                if name in vars(home):
                    return vars(home)[name]
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return find


def _package(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the package that a plugin comes with."""
    if point.dist is None:
        return point.module.partition(".")[0], "unknown"
    return point.dist.name, point.dist.version
