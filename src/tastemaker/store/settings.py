"""The settings of a workspace: fields of `tastemaker.toml`, each default, comment and legal values once."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tastemaker.plugins as plugins
from tastemaker.errors import InputError

FORMAT = 1
SETTINGS_FILE = "tastemaker.toml"
Value = str | int | float | bool
ADVANCED = "advanced"


def _setting(
    default: Any,
    comment: str,
    low: float = float("-inf"),
    high: float = float("inf"),
    choices: tuple[str, ...] = (),
    group: str = "",
) -> Any:
    """A field of the type of `default`: a number from `low` to `high`, a word of `choices` or plugins."""
    limits = {"low": low, "high": high, "choices": choices, "group": group}
    return field(default=default, metadata={"comment": comment} | limits)


@dataclass(frozen=True)
class Settings:
    """What a workspace is trained and served with. The file `init` writes, its validation and its comments
    follow from these fields; those after `port` stand under `[advanced]`.
    """

    title: str = _setting("Tastemaker", "Shown at the top of the page.")
    base: str = _setting(
        "small",
        'Language model to start from: "small" (trained from scratch here), "smollm2" (see `make smollm2`),'
        " or a Hugging Face model folder.",
    )
    text_view: str = _setting(
        "auto",
        "Text vectors: auto takes MiniLM where its package is.",
        choices=("auto", "sentences", "tfidf"),
    )
    split: str = _setting(
        "leave_one_out",
        "What is held out to evaluate on; time needs timestamps.",
        choices=("leave_one_out", "time"),
    )
    remove_seen: bool = _setting(True, "Never recommend what the person has had before.")
    beam: int = _setting(
        50,
        "Candidates that draws and re-rankers choose among; the width of a pretrained base's beam search.",
        1,
        2000,
    )
    exploration: float = _setting(
        0.0, "Temperature of slates: 0 shows the best in order; above it they are drawn.", 0.0, 100.0
    )
    adjust: str = _setting(
        "constrained",
        "How a deployed survey proxy moves the ranking; nothing moves before one is deployed.",
        choices=("off", "constrained", "value", "hinge", "step"),
    )
    ask_share: float = _setting(
        0.0, "Chance that a play or like is followed by the survey question; 0: nobody is asked.", 0, 1
    )
    experiment: str = _setting(
        "",
        "Id of a running test: half of the people keep the ranking without the proxy; empty: no test.",
    )
    seed: int = _setting(
        0, "Every random draw of training follows from it: same seed, same result.", 0, 2**31 - 1
    )
    threads: int = _setting(
        0, "Processor threads to train and serve with; 0 leaves the choice to the program.", 0, 1024
    )
    host: str = _setting("127.0.0.1", "Address the server listens on; 127.0.0.1 is this computer only.")
    port: int = _setting(8765, "Port the server listens on.", 1, 65535)

    tokenizer: str = _setting(
        "rkmeans",
        "How vectors become Semantic IDs: rkmeans, rqvae, or the name of a plugin.",
        choices=("rkmeans", "rqvae"),
        group="tokenizers",
    )
    ids: str = _setting(
        "collaborative",
        "What Semantic IDs are made from: collaborative (content and who had what together; best for items"
        " with events) or semantic (content alone, what was had together as a loss of rqvae; a new item gets"
        " the code it would have later).",
        choices=("collaborative", "semantic"),
    )
    levels: str = _setting(
        "",
        'Codes of each level, as "256/128/64/32", or "halving" for K_1 chosen and each level half of the one'
        " before; empty: chosen for the size of the catalogue, two levels, or three of semantic IDs.",
    )
    rqvae_contrastive: float = _setting(
        0.3, "Weight of rqvae's loss of what was had together; 0 leaves it out.", 0.0, 100.0
    )
    rqvae_masking: bool = _setting(True, "Progressive masking of levels in rqvae's training.")
    collisions: str = _setting(
        "unique", "Items that would share an ID.", choices=("unique", "expand", "suffix")
    )
    keep_tokens: int = _setting(
        0,
        "Text tokens kept of a pretrained base, ranked on the catalogue's text; 0 keeps all.",
        0,
        10**7,
    )
    base_layers: int = _setting(0, "First layers of a pretrained base that are kept; 0 keeps all.", 0, 1000)
    prompt_titles: int = _setting(
        0, "Tokens of its title that a pretrained base reads after each event's Semantic ID.", 0, 64
    )
    prompt_line: str = _setting("", "What a pretrained base reads before a history.")
    layers: int = _setting(2, "Layers of the small model.", 1, 48)
    width: int = _setting(128, "Width of the small model, a multiple of 32.", 32, 4096)
    max_items: int = _setting(50, "Events of a history that the model reads, the latest ones.", 1, 1000)
    sft_epochs: int = _setting(
        12, "Passes over the histories at most; the held-out part says which is the last.", 1, 1000
    )
    thinning: float = _setting(
        0.4, "Highest share of a history left out of a fine-tuning pass, at random.", 0.0, 0.9
    )
    event_features: bool = _setting(
        False,
        "Let the small model read of each event how much it says that the item was wanted (kind, value), and"
        " the hours since the one before.",
    )
    batch: int = _setting(
        0, "Sequences of one training step; 0: about 170 steps a pass, 16 to 128 each.", 0, 65536
    )
    learning_rate: float = _setting(0.002, "Peak learning rate of the small model.", 1e-7, 1.0)
    dropout: float = _setting(
        0.4,
        "Hidden dropout of the small model in training; half of it with semantic IDs, whose rows many items"
        " share.",
        0.0,
        0.9,
    )
    weight_decay: float = _setting(0.3, "Weight decay of the small model's matrices.", 0.0, 10.0)
    dense: float = _setting(
        1.0,
        "Weight of the small model's dense read-out in training, beside the codes'; 0 leaves it out.",
        0.0,
        10.0,
    )
    ensemble: int = _setting(
        0,
        "Small models whose probabilities are averaged, the second with the other kind of Semantic IDs; 0:"
        " two where 500 people or more have events, else one.",
        0,
        8,
    )
    base_learning_rate: float = _setting(
        0.0002, "Peak learning rate of a pretrained base in fine-tuning.", 1e-7, 1.0
    )
    base_dropout: float = _setting(0.0, "Hidden dropout of a pretrained base in both stages.", 0.0, 0.9)
    base_weight_decay: float = _setting(0.01, "Weight decay of a pretrained base in both stages.", 0.0, 10.0)
    base_dense: float = _setting(
        0.0,
        "Weight of a pretrained base's dense read-out in fine-tuning, beside the codes'; 0 leaves it out.",
        0.0,
        10.0,
    )
    base_lora: int = _setting(
        0,
        "Rank of the adapters (package peft) that fine-tuning trains, with the rows of new tokens, instead of"
        " a whole pretrained base; 0 trains it whole.",
        0,
        1024,
    )
    recompute: bool = _setting(
        False, "Gradient checkpointing of a pretrained base: less memory, a third more work."
    )
    new_rows_first: float = _setting(
        0.0, "Share of continued pre-training, before it, that trains the rows of new tokens alone.", 0.0, 1.0
    )
    cpt: str = _setting(
        "1",
        'Continued pre-training of a pretrained base: "off", or passes over the histories, as "0.25" or "2".'
        " The small model reads no text and has none.",
    )
    cpt_learning_rate: float = _setting(0.0001, "Learning rate of continued pre-training.", 1e-7, 1.0)
    metadata_share: float = _setting(
        0.2, "Share of tokens of continued pre-training that are item texts.", 0.0, 0.9
    )
    device: str = _setting(
        "auto",
        "Where models are trained and served: auto takes a GPU where there is one.",
        choices=("auto", "cpu", "cuda"),
    )
    shard: bool = _setting(
        False, "Under torchrun, own weights, gradients and moments in parts, one a process (FSDP2)."
    )
    memory: bool = _setting(
        True, "Mix counted transitions into the model's probabilities, weighed on the validation part."
    )
    sasrec_epochs: int = _setting(
        200, "Epochs of the SASRec baseline at most; it stops by itself on validation.", 1, 10000
    )
    reward: str = _setting(
        "",
        'What fine-tuning samples its targets by: "events" (the share that was played, the rating, the'
        " kind of event), or the fingerprint of a survey proxy; empty: every target counts.",
    )
    new_share: float = _setting(
        0.1, "Share of a list's places, the last ones, kept for items that came after training.", 0.0, 0.5
    )
    ask_hours: float = _setting(24.0, "Hours between two questions to one person, at least.", 0, 8760)
    ask_lists: int = _setting(3, "Lists shown to a person between two questions, at least.", 0, 10000)
    ask_holdout: float = _setting(
        0.1, "Share of people who are never asked, so that what asking does can be measured.", 0, 0.9
    )
    adjust_places: int = _setting(5, "Places that the survey proxy may move an item, at most.", 0, 100)
    visitors: bool = _setting(
        False, "The page gives everybody who comes a name of their own, also when callers need a key."
    )
    database: str = _setting(
        "",
        "PostgreSQL that keeps what changes, for several servers or machines, such as"
        " postgresql://me@host/shop; empty: a file of the workspace.",
    )
    engine: str = _setting(
        "local",
        "What maps large work over parts: local (this process) or ray (the cluster of RAY_ADDRESS, or this"
        " machine's cores).",
        choices=("local", "ray"),
    )
    names: str = _setting(
        "", "Host names that the server is reached by beside this machine's own; comma-separated."
    )
    origins: str = _setting(
        "", "Origins of pages elsewhere that may call it, such as https://shop.example; comma-separated."
    )
    watch_seconds: float = _setting(
        60.0,
        "Seconds from one look of a server's watches to the next (kill-switch, drift, sample ratio); 0:"
        " none.",
        0.0,
        86400.0,
    )
    alarm_webhook: str = _setting(
        "", "Address that a server posts its alarms to, as JSON; empty: they are logged alone."
    )
    log: str = _setting(
        "text",
        "What the server writes to stderr: text (warnings and errors) or json (a line for each request too).",
        choices=("text", "json"),
    )
    rate_person: float = _setting(20.0, "Requests a second that one person may go on with; 0: any.", 0, 1e6)
    rate_key: float = _setting(200.0, "Requests a second that one key may go on with; 0: any.", 0, 1e6)


FIELDS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(Settings)}
# Settings of version 0.1 that have another name and form now.
RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "cpt_epochs": ("cpt", lambda passes: f"{passes:g}" if isinstance(passes, int | float) and passes else "1")
}
TOP = tuple(FIELDS)[: list(FIELDS).index("port") + 1]
_WORDS = {str: "text in quotes", int: "whole number", float: "number", bool: "true or false"}
_HEADER = f"""# Settings of this Tastemaker workspace. Delete a line to get its default back;
# `tastemaker admin doctor` checks the file.
format = {FORMAT}  # version of the workspace's layout; not a setting
"""


def _is_address(text: str) -> bool:
    """Whether something can be posted there."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not set(text) & set(" \t\n")


def _read(name: str, value: object, path: Path) -> Value:
    """`value` when it is legal for the setting `name`; else InputError saying what is."""
    default, about = FIELDS[name].default, FIELDS[name].metadata
    kind = type(default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        legal = f"{_WORDS[kind]}, as in {name} = {json.dumps(default)}"
        raise InputError(f"{path}: '{name}' is {value!r}; it must be a {legal}")
    choices = (*about["choices"], *(plugins.names(about["group"]) if about["group"] else ()))
    if choices and value not in choices:
        raise InputError(f"{path}: '{name}' is {value!r}; it must be one of {', '.join(choices)}")
    if name == "alarm_webhook" and value and not _is_address(str(value)):
        raise InputError(f"{path}: '{name}' is {value!r}; it must be an address, as in https://host/path")
    if isinstance(value, int | float) and not about["low"] <= value <= about["high"]:
        raise InputError(
            f"{path}: '{name}' is {value}; it must lie between {about['low']:g} and {about['high']:g}"
        )
    assert isinstance(value, str | int | float | bool)
    return value


def read_settings(root: Path) -> Settings:
    """The settings of the workspace at `root`, defaults filled in; InputError as `Workspace.open` says."""
    path = root / SETTINGS_FILE
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{root}: is not a Tastemaker workspace (no {SETTINGS_FILE}); make one with"
            f" `tastemaker init {root}`"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None
    return parse_settings(document, path)


def parse_settings(document: Mapping[str, Any], path: Path) -> Settings:
    """Validate what was read from `path`; settings not in the `document` get their defaults.

    A setting may stand at the top or under `[advanced]`: files of version 0.1 have all of them at the top.
    """
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise InputError(f"{path}: needs the line `format = {FORMAT}`")
    if version > FORMAT:
        raise InputError(
            f"{path}: this workspace was made by a newer Tastemaker (format {version}, this program knows up"
            f" to {FORMAT}); upgrade with `pip install --upgrade tastemaker`"
        )
    below = document.get(ADVANCED, {})
    if not isinstance(below, Mapping):
        raise InputError(f"{path}: '{ADVANCED}' is {below!r}; it is a section, written [{ADVANCED}]")
    top = {name: value for name, value in document.items() if name not in ("format", ADVANCED)}
    for name in (*top, *below):
        if name not in FIELDS and name not in RENAMED:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the settings are {', '.join(FIELDS)}"
            raise InputError(f"{path}: unknown setting '{name}'; {hint}")
        if name in top and name in below:
            raise InputError(f"{path}: '{name}' stands at the top and under [{ADVANCED}]; delete one of them")
    legal: dict[str, Any] = {}
    for name, value in {**top, **below}.items():
        new, convert = RENAMED.get(name, (name, None))
        legal[new] = _read(new, value if convert is None else convert(value), path)
    return Settings(**legal)


def settings_text(settings: Settings) -> str:
    """The settings file that says `settings`, each with its comment."""
    values = asdict(settings)
    lines = [f"\n# {FIELDS[name].metadata['comment']}\n{name} = {_toml(values[name])}\n" for name in FIELDS]
    return "".join([_HEADER, *lines[: len(TOP)], f"\n[{ADVANCED}]\n", *lines[len(TOP) :]])


def _toml(value: Value) -> str:
    """A TOML literal; JSON's strings are TOML's basic strings, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
