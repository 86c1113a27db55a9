"""The settings of a workspace: the dials of `tastemaker.toml`, their defaults, comments and legal values,
each written once.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError

FORMAT = 1
SETTINGS_FILE = "tastemaker.toml"


@dataclass(frozen=True)
class Dial:
    """One setting of `tastemaker.toml`: `default` gives its type; `low` and `high` bound a number, `choices`
    a word.
    """

    name: str
    default: str | int | float | bool
    comment: str
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()

    def read(self, value: object, path: Path) -> str | int | float | bool:
        """`value` when it is legal for this dial; else InputError saying what is."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise InputError(
                f"{path}: '{self.name}' is {value!r}; it must be a {_WORDS[kind]}, as in {self.name} ="
                f" {_toml(self.default)}"
            )
        if self.choices and value not in self.choices:
            raise InputError(
                f"{path}: '{self.name}' is {value!r}; it must be one of {', '.join(self.choices)}"
            )
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            raise InputError(
                f"{path}: '{self.name}' is {value}; it must lie between {self.low:g} and {self.high:g}"
            )
        assert isinstance(value, str | int | float | bool)
        return value


# A dial is added here and nowhere else: the file `init` writes, its validation and its comments follow from
# this list.
DIALS = (
    Dial("title", "Tastemaker", "Shown at the top of the page."),
    Dial(
        "seed",
        0,
        "Every random draw follows from it: same seed, same data, same result.",
        low=0,
        high=2**31 - 1,
    ),
    Dial(
        "threads",
        0,
        "Processor threads to train and serve with; 0 leaves the choice to the program.",
        low=0,
        high=1024,
    ),
    Dial(
        "split",
        "leave_one_out",
        "What is held out to evaluate on; time needs timestamps.",
        choices=("leave_one_out", "time"),
    ),
    Dial(
        "text_view",
        "auto",
        "Text vectors: auto takes MiniLM where its package is.",
        choices=("auto", "sentences", "tfidf"),
    ),
    Dial("tokenizer", "rkmeans", "How vectors become Semantic IDs.", choices=("rkmeans", "rqvae")),
    Dial(
        "levels", "", 'Codes of each level, as "256/128/64/32"; empty: chosen for the size of the catalogue.'
    ),
    Dial("collisions", "unique", "Items that would share an ID.", choices=("unique", "expand", "suffix")),
    Dial(
        "base",
        "small",
        'Language model to start from: "small" (trained from scratch here), or a Hugging Face model folder.',
    ),
    Dial(
        "keep_tokens",
        0,
        "Text tokens kept of a pretrained base, ranked on the catalogue's text; 0 keeps all.",
        low=0,
        high=10**7,
    ),
    Dial("layers", 2, "Layers of the small model.", low=1, high=48),
    Dial("width", 128, "Width of the small model, a multiple of 32.", low=32, high=4096),
    Dial("max_items", 50, "Events of a history that the model reads, the latest ones.", low=1, high=1000),
    Dial(
        "metadata_share",
        0.2,
        "Share of tokens of continued pre-training that are item texts.",
        low=0.0,
        high=0.9,
    ),
    Dial(
        "cpt_epochs",
        0.0,
        "Passes over the histories in continued pre-training; 0: one for a pretrained base, a fiftieth for"
        " the small model.",
        low=0.0,
        high=1000,
    ),
    Dial("sft_epochs", 9, "Passes over the histories in fine-tuning.", low=1, high=1000),
    Dial(
        "thinning",
        0.4,
        "Highest share of a history left out of a fine-tuning pass, at random.",
        low=0.0,
        high=0.9,
    ),
    Dial(
        "batch",
        0,
        "Sequences of one training step; 0: about 170 steps a pass, 16 to 128 each.",
        low=0,
        high=65536,
    ),
    Dial("learning_rate", 0.002, "Peak learning rate.", low=1e-7, high=1.0),
    Dial("dropout", 0.3, "Hidden dropout in training.", low=0.0, high=0.9),
    Dial("weight_decay", 0.3, "Weight decay of matrices.", low=0.0, high=10.0),
    Dial("beam", 50, "Width of the beam search; wider is slower and finds more.", low=1, high=2000),
    Dial(
        "memory",
        True,
        "Mix counted transitions into the model's probabilities, weighed on the validation part.",
    ),
    Dial(
        "sasrec_epochs",
        200,
        "Epochs of the SASRec baseline at most; it stops by itself on validation.",
        low=1,
        high=10000,
    ),
    Dial("remove_seen", True, "Never recommend what the person has had before."),
    Dial(
        "reward",
        "",
        "Fingerprint of a survey proxy that fine-tuning samples its targets by; empty: every target counts.",
    ),
    Dial(
        "ask_share",
        0.0,
        "Chance that a play or like is followed by the survey question; 0: nobody is asked.",
        low=0,
        high=1,
    ),
    Dial("ask_hours", 24.0, "Hours between two questions to one person, at least.", low=0, high=8760),
    Dial("ask_lists", 3, "Lists shown to a person between two questions, at least.", low=0, high=10000),
    Dial(
        "ask_holdout",
        0.1,
        "Share of people who are never asked, so that what asking does can be measured.",
        low=0,
        high=0.9,
    ),
    Dial(
        "adjust",
        "constrained",
        "How a deployed survey proxy moves the ranking; nothing moves before one is deployed.",
        choices=("off", "constrained", "value", "hinge", "step"),
    ),
    Dial("adjust_places", 5, "Places that the survey proxy may move an item, at most.", low=0, high=100),
    Dial(
        "experiment",
        "",
        "Id of a running test: half of the people keep the ranking without the proxy; empty: no test.",
    ),
    Dial(
        "exploration",
        0.0,
        "Temperature of slates: 0 shows the best in order; above it they are drawn.",
        0.0,
        100.0,
    ),
    Dial("host", "127.0.0.1", "Address the server listens on; 127.0.0.1 is this computer only."),
    Dial("port", 8765, "Port the server listens on.", low=1, high=65535),
)
_WORDS = {str: "text in quotes", int: "whole number", float: "number", bool: "true or false"}
_HEADER = f"""# Settings of this Tastemaker workspace. Delete a line to get its default back;
# `tastemaker doctor` checks the file.
format = {FORMAT}  # version of the workspace's layout; not a dial
"""


def read_settings(root: Path) -> dict[str, str | int | float | bool]:
    """Every dial of the workspace at `root`, defaults filled in; InputError as `Workspace.open` says."""
    path = root / SETTINGS_FILE
    try:
        given = tomllib.loads(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{root}: is not a Tastemaker workspace (no {SETTINGS_FILE}); make one with `tastemaker init"
            f" {root}`"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None
    return parse_settings(given, path)


def parse_settings(given: Mapping[str, Any], path: Path) -> dict[str, str | int | float | bool]:
    """Validate dials read from `path`; those not `given` get their defaults."""
    version = given.get("format")
    if type(version) is not int or version < 1:
        raise InputError(f"{path}: needs the line `format = {FORMAT}`")
    if version > FORMAT:
        raise InputError(
            f"{path}: this workspace was made by a newer Tastemaker (format {version}, this program knows up"
            f" to {FORMAT}); upgrade with `pip install --upgrade tastemaker`"
        )
    legal = {dial.name: dial for dial in DIALS}
    for name in given:
        if name not in legal and name != "format":
            near = difflib.get_close_matches(name, legal, n=1, cutoff=0.0)[0]
            raise InputError(
                f"{path}: unknown setting '{name}'; the nearest that exists is '{near}' (all:"
                f" {', '.join(legal)})"
            )
    return {name: dial.read(given.get(name, dial.default), path) for name, dial in legal.items()}


def settings_text(settings: Mapping[str, str | int | float | bool]) -> str:
    """The settings file that says `settings`, each dial with its comment."""
    return _HEADER + "".join(
        f"\n# {dial.comment}\n{dial.name} = {_toml(settings[dial.name])}\n" for dial in DIALS
    )


def _toml(value: str | int | float | bool) -> str:
    """A TOML literal; JSON's strings are TOML's basic strings, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
