"""The 35 promises, each with the tests and commands that show it and the figure they gave last: writes
docs/promises.md.

    make promises                                # everything; under half an hour on two quiet cores
    python -m recipes.safety.promises --only 9,30

A promise of which something is missing says what, whatever its tests say.
A test of which a file was renamed fails here and in tests/docs/test_promises.py, so that none goes silently.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recipes.common import chosen, command, options

ROOT = Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "docs" / "promises.md", ROOT / "docs" / "promises.json"
FLIPS = "recipes.safety.flips --flips 1000"
KILLS = "recipes.safety.live kills --count 200"
CANARY = "recipes.safety.live canary"
GRIND = "recipes.safety.live grind"
PAIRS = "recipes.safety.live pairs"
SCHEMA = "recipes.safety.live schema"
SOAK = "benchmarks.soak --minutes 4"
SHILLING = "benchmarks.shilling"
COMMANDS = (KILLS, FLIPS, SCHEMA, SOAK, PAIRS, CANARY, GRIND, SHILLING)  # the longest first


@dataclass(frozen=True)
class Promise:
    """One promise: `tests` are files, or files::names, under tests/; `commands` modules with their arguments;
    `gap` is what of it is not kept, or not measured.
    """

    text: str
    tests: tuple[str, ...]
    commands: tuple[str, ...] = ()
    gap: str = ""


PROMISES = (
    Promise(
        "an acknowledged event is never lost",
        (
            "store/test_database.py::test_a_killed_writer_loses_no_acknowledged_event",
            "store/test_integrity.py",
        ),
        (KILLS,),
    ),
    Promise(
        "re-sending has no effect: a batch of events counts once, a request is answered as before",
        (
            "server/test_api.py::test_an_event_counts_once_and_an_id_stands_for_one_event",
            "flows/test_served_slates.py::test_a_retry_gets_the_same_slate_and_another_wish_a_conflict",
        ),
    ),
    Promise(
        "artifacts appear whole or not at all, and equal trainings are equal byte for byte",
        ("store/test_files.py", "store/test_artifacts.py", "flows/test_equal_trainings.py"),
    ),
    Promise(
        "a killed training resumes to the same result",
        (
            "lm/test_train.py::test_a_killed_run_ends_bit_for_bit_like_an_unkilled_one",
            "cli/test_cli.py::test_a_killed_training_resumes_to_the_same_weights",
        ),
    ),
    Promise(
        "an incomplete checkpoint is never gone on from",
        ("lm/test_train.py::test_damaged_checkpoints_are_refused_by_name", "flows/test_curve.py"),
    ),
    Promise(
        "a full disk is one line at the command, 507 over HTTP, and damages nothing",
        (
            "flows/test_full_disk.py",
            "store/test_files.py::test_disk_full_is_one_line_and_the_old_version_stays",
        ),
    ),
    Promise(
        "memory stays under a stated bound",
        ("flows/test_media.py", "store/test_text.py::test_budgets_end_early_in_one_line"),
    ),
    Promise(
        "commands that run at once lose and mix up nothing",
        ("store/test_database.py::test_many_threads_share_one_database",),
        (PAIRS,),
    ),
    Promise(
        "damage is refused by name: nothing wrong is served or learnt from",
        ("store/test_integrity.py", "store/test_recorded.py", "lm/test_base.py", "flows/test_safety.py"),
        (FLIPS,),
        gap=(
            "a file that changes while a server has it verified and open is noticed by its time of change"
            " only"
        ),
    ),
    Promise(
        "mismatched parts never serve together",
        (
            "store/test_artifacts.py::test_a_folder_moved_under_another_name_is_refused",
            "flows/test_deploy.py::test_rollback_goes_back_step_by_step_and_says_which_items_it_brings_back",
        ),
    ),
    Promise("a swap or a rollback drops no request", ("flows/test_swap.py",)),
    Promise(
        "older workspaces upgrade; a backup restores identically",
        (
            "store/test_database.py::test_a_database_of_version_0_1_is_brought_up_to_date",
            "flows/test_deploy.py::test_a_workspace_of_the_first_version_is_deployed_from_its_stages",
            "flows/test_swap.py::test_a_copy_of_a_workspace_in_use_answers_the_same",
        ),
    ),
    Promise(
        "only existing, allowed items are shown",
        (
            "retrieve/test_allow.py",
            "flows/test_recommend.py::test_only_allowed_items_are_ever_returned",
            "flows/test_swap.py::test_an_item_taken_down_is_gone_from_the_running_server",
        ),
    ),
    Promise("beam search is right and the same in any batch", ("retrieve/test_beam.py",)),
    Promise(
        "same version, secret, id and input: the same list",
        ("flows/test_served_slates.py::test_a_draw_is_keyed_by_the_secret_and_the_servers_own_id",),
        gap="not measured across machines of different processors",
    ),
    Promise(
        "logged propensities are true, whatever clients send",
        (
            "flows/test_served_slates.py::test_frequencies_of_what_is_served_match_its_propensities",
            "flows/test_served_slates.py::test_ids_that_a_client_chooses_do_not_choose_the_list",
            "server/test_api.py::test_a_client_that_hung_up_was_shown_nothing",
        ),
        (GRIND,),
    ),
    Promise(
        "statistics keep their error rates",
        ("experiment/test_effects.py::test_errors_and_coverage_over_many_trials", "explore/test_bounds.py"),
    ),
    Promise(
        "a failing model gets a flagged fallback in time",
        ("flows/test_deploy.py::test_small_shops_serve_what_their_data_allow",),
        gap="what cannot be trained falls back and says so; a model that fails while serving is an error",
    ),
    Promise(
        "overload sheds and does not collapse",
        ("server/test_admission.py::test_three_times_the_load_is_shed_at_once_and_the_rest_is_served",),
    ),
    Promise(
        "no leaks",
        ("chat/test_kill.py", "server/test_limits.py::test_nothing_in_memory_grows_with_callers"),
        (SOAK,),
    ),
    Promise(
        "a stop finishes what was begun",
        (
            "server/test_admission.py::test_stopping_finishes_what_was_admitted_within_the_grace",
            "server/test_run.py::test_who_hangs_up_and_a_signal_leave_no_traceback",
        ),
    ),
    Promise(
        "no input makes a 5xx or a hang",
        ("server/test_api.py", "flows/test_swap.py::test_half_a_character_is_refused_in_one_line"),
        commands=(SCHEMA,),
    ),
    Promise(
        "loading data or models never runs their code",
        (
            "test_budget.py::test_nothing_is_unpickled_or_evaluated",
            "lm/test_base.py::test_a_config_that_no_model_has_is_refused",
            "lm/test_base.py::test_pickled_weights_are_refused_by_name",
        ),
    ),
    Promise(
        "the access matrix holds",
        (
            "server/test_access.py::test_every_route_is_open_to_those_whom_the_table_names_and_to_nobody_else",
            "server/test_access.py::test_without_keys_this_machine_is_trusted_and_the_first_key_closes_the_door",
            "server/test_access.py::test_a_key_of_somebody_elses_making_lets_nobody_speak_for_another",
            "server/test_access.py::test_beyond_this_machine_nothing_is_served_without_a_key",
            "server/test_access.py::test_a_route_without_a_rule_cannot_be_made",
        ),
    ),
    Promise(
        "a hostile web page cannot drive a local server",
        (
            "server/test_api.py::test_other_hosts_and_other_sites_are_refused",
            "server/test_api.py::test_every_answer_carries_the_protecting_headers",
        ),
    ),
    Promise(
        "no path escapes the workspace",
        (
            "store/test_ingest.py::test_media_paths_cannot_leave_the_workspace",
            "store/test_artifacts.py::test_names_cannot_leave_the_folder",
        ),
    ),
    Promise(
        "injected text cannot widen what an assistant may do",
        (
            "server/test_page.py::test_hostile_text_stays_text",
            "assist/test_model.py::test_the_obedient_attacker_breaches_nothing",
            "assist/test_model.py::test_the_attacker_is_one",
        ),
    ),
    Promise(
        "spend and work are bounded",
        (
            "chat/test_budget.py",
            "server/test_access.py::test_one_person_and_one_key_have_a_rate",
            "server/test_limits.py",
            "assist/test_faces.py::test_turns_of_a_person_are_limited",
            "server/test_api.py::test_broken_json_and_a_large_body_are_refused_in_one_line",
        ),
        gap="the log of slates grows with use",
    ),
    Promise(
        "people and shops are isolated",
        (
            "server/test_access.py::test_a_person_reaches_nothing_of_another_wherever_the_name_stands",
            "server/test_access.py::test_an_app_mints_tokens_for_one_person_which_end_with_its_key",
            "server/test_access.py::test_the_page_gets_a_person_by_itself_who_is_known_on_return",
            "server/test_access.py::test_keys_and_tokens_of_one_shop_open_no_other",
            "flows/test_recommend.py::test_what_few_people_did_is_no_reason",
        ),
    ),
    Promise(
        "erasure is complete and stays",
        ("flows/test_forget.py", "store/test_tombstones.py", "flows/test_safety.py"),
        (CANARY,),
        gap="models learnt from them serve until the next training, as `tastemaker admin forget` says",
    ),
    Promise(
        "shilling is limited and visible",
        ("flows/test_anomalies.py",),
        (SHILLING,),
    ),
    Promise(
        "secrets never appear in output",
        ("chat/test_endpoint.py::test_the_api_key_is_in_no_file_and_no_message",),
    ),
    Promise(
        "what we ship is what we locked",
        (
            "test_packaging.py::test_every_pin_is_locked_with_its_hashes",
            "test_packaging.py::test_an_audit_that_reached_no_data_is_none",
            "test_packaging.py::test_every_file_of_the_package_is_installed",
        ),
        gap="a torch that is not PyPI's file is named by the release, and not verified",
    ),
    Promise(
        "works offline; builds reproduce",
        ("lm/test_base.py", "test_packaging.py::test_two_builds_are_equal"),
    ),
    Promise(
        "the page is usable by everyone",
        (
            "server/test_page.py::test_axe_finds_no_fault",
            "server/test_page.py::test_the_keyboard_does_everything",
            "server/test_page.py::test_your_data_can_be_taken_along_and_deleted",
        ),
    ),
)


def run_tests(names: list[str]) -> dict[str, tuple[int, int, int]]:
    """Passed, skipped and failed of each name, from one run of pytest."""
    report = ROOT / ".pytest_cache" / "promises.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
    subprocess.run([*command, *(f"tests/{name}" for name in names)], cwd=ROOT, check=False)
    counts = {name: [0, 0, 0] for name in names}
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"
        function = case.get("name", "").partition("[")[0]
        state = 2 if case.find("failure") is not None or case.find("error") is not None else 0
        state = 1 if case.find("skipped") is not None else state
        for name in {file, f"{file}::{function}"} & set(names):
            counts[name][state] += 1
    return {name: (row[0], row[1], row[2]) for name, row in counts.items()}


def run_command(command: str) -> dict[str, Any]:
    """Whether a command passed, and its figures in a line."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    match = re.search(r"^\{.*^\}", done.stdout, re.M | re.S)
    figures: dict[str, Any] = {"error": done.stderr.strip()[-200:]}
    if match:
        figures = json.loads(match.group())
    plain: dict[str, Any] = {
        name: value for name, value in figures.items() if isinstance(value, int | float | str)
    }
    if "outcomes" in figures:
        plain |= figures["outcomes"] | {"silent": len(figures["bad"])}
    plain |= figures.get("grown", {})  # of the soak: megabytes a minute, files, threads
    if "pairs" in figures:
        plain |= {"pairs": len(figures["pairs"]), "faults": len(figures["faults"])}
    words = ", ".join(f"{value} {name}" for name, value in plain.items() if name != "seconds")
    return {"passed": done.returncode == 0, "figure": words, "seconds": round(time.monotonic() - started)}


def measure(only: set[int], known: dict[str, Any]) -> None:
    """Put the results of the promises asked for into `known`: the tests in one process beside the commands in
    another. It is written after each of them, so that what ends half-way is not lost.
    """
    asked = {number: entry for number, entry in enumerate(PROMISES, start=1) if not only or number in only}
    names = sorted({name for promise in asked.values() for name in promise.tests})
    wanted = {command for promise in asked.values() for command in promise.commands}
    tests, commands, left = dict[str, tuple[int, int, int]](), dict[str, dict[str, Any]](), dict(asked)

    def run(command: str) -> None:
        commands[command] = run_command(command)

    with ThreadPoolExecutor(2) as both:
        begun = {both.submit(lambda: tests.update(run_tests(names))): ""}
        begun |= {both.submit(run, command): command for command in COMMANDS if command in wanted}
        for done in as_completed(begun):
            done.result()
            print(
                f"{begun[done] or 'tests'}: {commands.get(begun[done], 'done')}", file=sys.stderr, flush=True
            )
            for number, promise in list(left.items()):
                if set(promise.commands) <= commands.keys() and tests:
                    known[str(number)] = result(left.pop(number), tests, commands)
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
            PAGE.write_text(page(known))


def result(
    promise: Promise, tests: dict[str, tuple[int, int, int]], commands: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Whether everything that shows a promise passed, its figures, and when that was."""
    rows = [tests[name] for name in promise.tests]
    passed, skipped, failed = (sum(row[place] for row in rows) for place in range(3))
    empty = [name for name in promise.tests if not tests[name][0] + tests[name][2]]
    figures = [f"{passed} tests passed" + (f", {skipped} skipped" if skipped else "")] if rows else []
    figures += [commands[command]["figure"] for command in promise.commands]
    good = not failed and not empty and all(commands[command]["passed"] for command in promise.commands)
    if failed or empty:
        figures.append(f"{failed} tests FAILED" if failed else f"no test ran of {', '.join(empty)}")
    return {"good": good, "figure": "; ".join(figures), "date": datetime.now(UTC).date().isoformat()}


def state(promise: Promise, result: dict[str, Any] | None) -> str:
    """In a word."""
    if not promise.tests and not promise.commands:
        return "not shown"
    if result is None:
        return "not run"
    if not result["good"]:
        return "BROKEN"
    return "in part" if promise.gap else "kept"


def page(results: dict[str, Any]) -> str:
    """docs/promises.md."""
    rows = []
    for number, promise in enumerate(PROMISES, start=1):
        result = results.get(str(number))
        shown = [f"`tests/{name}`" for name in promise.tests]
        shown += [f"`python -m {command}`" for command in promise.commands]
        figure = f"{result['figure']} ({result['date']})" if result and result["figure"] else ""
        gap = f" Missing: {promise.gap}." if promise.gap else ""
        cells = [
            str(number),
            promise.text,
            state(promise, result),
            "<br>".join(shown) or "none",
            figure + gap,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return HEAD + "\n".join(rows) + "\n"


HEAD = """# Promises

Thirty-five promises, each with what shows it and the figure of its last run. `make promises` measures all and
writes this page (`recipes/safety/promises.py`, 23 minutes on two busy cores);
`python -m recipes.safety.promises --only 9,30` measures some. `kept`: everything that shows it passed.
`in part`: it passed, and the last column says what is missing. `not shown`: nothing here shows it.
What damage, kills and erasure do is told in [safety](safety.md).

| | promise | state | shown by | last figure |
| --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Measure, write the page, and fail when a promise is broken."""
    parser = options(__doc__)
    parser.add_argument("--only", default="", help="numbers, with commas; default: all")
    dials = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    numbers = [str(number) for number in range(1, len(PROMISES) + 1)]
    measure(set(map(int, chosen(dials.only, numbers, "promise"))), results)
    broken = [
        number for number, entry in results.items() if not entry["good"] and PROMISES[int(number) - 1].tests
    ]
    print(f"{PAGE}: {len(results)} measured, broken: {', '.join(broken) or 'none'}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    command(main)
