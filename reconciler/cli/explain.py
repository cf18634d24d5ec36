"""`reconciler explain`: one model in full, so that nobody has to guess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from reconciler.analysis.finding import number, too_few
from reconciler.cli.present import (
    Cell,
    ConfigOption,
    ExitCode,
    Format,
    FormatOption,
    Screen,
    Tone,
    command,
    finish,
)
from reconciler.cli.present import status as shown_status
from reconciler.cli.status import (
    Json,
    TokenFileOption,
    UrlOption,
    check_shape,
    is_fine,
    live,
    looks_again,
    needs_attention,
    paused_by,
    phase,
    registry,
    when,
    why,
)
from reconciler.status import SUSPENDED_IN_GIT

EXAMPLES = """\
\b
Examples:
  reconciler explain iris
  reconciler explain iris -o json | jq .verdicts
"""

Line = tuple[str | Cell, ...]


def explain(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Explain one model: what is wanted, what is there, what blocks it, what it waits for, and what to do next.

    Exit code 0 when it is Synced and Healthy (or suspended with nothing held up), 2 when not, 1 when no service
    answers.
    """
    with command() as screen:
        from reconciler.cli.client import base_url, one_model, token_for, understood  # noqa: PLC0415  pydantic: not for --help

        address = base_url(url, config)
        found = one_model(address, model, token_for(token_file, url, config))
        with understood(address):
            check_shape(found)
            fine = is_fine(found)
            lines = [] if output is Format.JSON else list(explanation(screen, found))
        if output is Format.JSON:
            screen.json(found)
        for head, *rest in lines:
            screen.hang(head, *rest)
    finish(ExitCode.FINE if fine else ExitCode.FOUND)


def explanation(screen: Screen, model: Json) -> Iterator[Line]:
    """Yield the explanation line by line."""
    yield (
        "",
        Cell(model["name"], Tone.STRONG),
        "  ",
        shown_status(model["sync"]),
        "  ",
        shown_status(model["health"]),
        f"  {phase(model)}",
    )
    well = is_fine(model) and model["health"] == "Healthy"
    yield (Cell("Why: ", Tone.FAINT), "everything is as Git says" if well else why(model))
    yield from _tree([("Git", _git(model)), ("Registry", registry(model)), ("Live", live(model))], _verdicts(model))
    yield from _rest(screen, model)
    yield (Cell("Next: ", Tone.FAINT), *_next(model))


def _git(model: Json) -> str:
    version = "the newest version that passes the gates" if model["git"] == "auto" else f"version {model['git']}"
    if model["git"] == "removed":
        version = "nothing: the spec left Git"
    commit, by = model["lastAttemptedCommit"][:7], model["commit"]
    author = f", {by['author'].split(' <')[0]}: {by['subject']}" if by else ""
    if model.get("problems"):
        return f"{version}; commit {commit} is not followed: its spec cannot be used"
    return f"{version} (commit {commit}{author})" if commit else version


def _tree(branches: list[tuple[str, str]], leaves: list[Line]) -> Iterator[Line]:
    for index, (name, said) in enumerate(branches):
        arm = "└─" if index == len(branches) - 1 else "├─"
        yield f"{arm} {name:<9} ", said
    for index, leaf in enumerate(leaves):
        arm = "└─" if index == len(leaves) - 1 else "├─"
        yield f"   {arm} ", *leaf


def _verdicts(model: Json) -> list[Line]:
    lines = [line for verdict in model["verdicts"] for line in _verdict(verdict)]
    told = {v["version"] for v in model["verdicts"] if v.get("kind") == "gates"}
    lost = [r for r in model["rejected"] if r["version"] not in told]
    return [*lines, *((_mark("fail"), f"version {r['version']}  {r['reason']}") for r in lost)]


_MARKS = {"pass": Cell("✔ ", Tone.GOOD), "fail": Cell("✖ ", Tone.BAD)}


def _mark(verdict: str) -> Cell:
    return _MARKS.get(verdict, Cell("? ", Tone.WARNING))


def _verdict(verdict: Mapping[str, Any]) -> Iterator[Line]:
    if verdict.get("kind") == "gates":
        name = f"gates of version {verdict['version']}"
        if not verdict["gates"]:
            yield _mark(verdict["verdict"]), f"version {verdict['version']}  {verdict['why']}"
        for gate in verdict["gates"]:
            yield _mark("pass" if gate["passed"] else "fail"), f"{name}  {gate['said']}"
        return
    if verdict.get("kind") != "check":
        return  # of a newer service
    name = f"{verdict['check']} (dry run)" if verdict.get("dryRun") else verdict["check"]
    broken = any(_holds(finding) == "fail" for finding in verdict["findings"])
    unsaid = not verdict["findings"] or (verdict["verdict"] == "fail" and not broken)
    said = verdict["verdict"] == "inconclusive" or unsaid
    if said:
        yield _mark(verdict["verdict"]), f"{name}  {verdict['why']}"
    for finding in verdict["findings"]:
        if not said or (_tells(finding) and _finding(finding) != verdict["why"]):
            yield _mark(_holds(finding)), f"{name}  {_finding(finding)}"
    for asked in dict.fromkeys(asked for finding in verdict["findings"] for asked in _queries(finding)):
        yield "  ", Cell(asked, Tone.FAINT)


def _tells(finding: Mapping[str, Any]) -> bool:
    """Tell whether a finding says more than that there is nothing yet."""
    return finding["measured"] is not None or bool(finding["samples"] and finding.get("needed"))


def _queries(finding: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was asked, with every variable filled in."""
    for words, key in (("by", "query"), ("stable by", "stableQuery"), ("counted by", "samplesQuery")):
        if finding.get(key):
            yield f"{words} {finding[key]}"


def _holds(finding: Mapping[str, Any]) -> str:
    return "inconclusive" if finding["holds"] is None else "pass" if finding["holds"] else "fail"


def _finding(finding: Mapping[str, Any]) -> str:
    """Write value, operator, limit, samples, window, what stable does, and where the number comes from."""
    if finding["measured"] is None:
        few = finding["samples"] and finding.get("needed")
        said = too_few(finding["samples"], finding["needed"]) if few else "nothing measured yet"
        return f"{finding['what']}: {said}"
    operator = finding["operator"] if finding["holds"] else {"<=": ">", ">=": "<"}[finding["operator"]]
    numbers = [_number(finding[key], finding["unit"]) for key in ("measured", "limit")]
    stable = "" if finding["stable"] is None else f", stable {_number(finding['stable'], finding['unit'])}"
    if (both := finding.get("compared")) is not None:
        values = [_number(both[side], both["unit"]) for side in ("candidate", "stable")]
        stable = f", {values[0]} against stable's {values[1]}"
    counted = f"{finding['samples']:,} {finding.get('counted', 'requests')}"
    window = f" in {finding['window']}" if finding.get("window") else ""
    source = f" by {finding['source']}" if finding.get("source") else ""
    return f"{finding['what']} {numbers[0]} {operator} {numbers[1]}  ({counted}{window}{stable}{source})"


def _number(value: float | str, unit: str) -> str:
    if isinstance(value, str):
        return value  # nan and inf have no number in JSON
    return number(value, unit)


def _differs(model: Json) -> Iterator[str]:
    """Yield what is not as Git wants it, as far as it can be told in numbers."""
    if (wanted := _wanted(model)) and not is_fine(model):
        gets = sum(share["percent"] for share in model["live"] if str(share["version"]) == wanted)
        yield f"version {wanted} is wanted, and gets {gets} % of the traffic"
    for share in model["live"]:
        if share["setPercent"] not in (None, share["percent"]):
            yield f"version {share['version']} was set to {share['setPercent']} %, and gets {share['percent']} %"


def _wanted(model: Json) -> str:
    """Return the version that is on its way to callers, or is to stay; "" for one that is being taken back."""
    staged = [str(v["version"]) for v in model["registry"] if v["role"] == "Staging"]
    wanted = str(model["git"]) if model["git"].isdecimal() else next(iter(staged), "")
    leaves = {*staged, *(str(v["version"]) for v in model["registry"] if v["note"] == "rejected")}
    return "" if model["phase"] == "RollingBack" and wanted in leaves else wanted


def _ordered(screen: Screen, model: Json) -> Iterator[Line]:
    for order in model.get("orders", ()):
        what = f"{order['order']} of {order['about']}, by {order['actor']} {when(screen, order['at'])}"
        yield Cell("Ordered: ", Tone.FAINT), f"{what}: {order['reason']}"


def _rest(screen: Screen, model: Json) -> Iterator[Line]:
    for differs in _differs(model):
        yield Cell("Differs: ", Tone.FAINT), differs
    yield from _ordered(screen, model)
    if model["blockedBy"]:
        yield Cell("Blocked by: ", Tone.FAINT), model["blockedBy"]
    again = looks_again(screen, model)
    looks = f"Looks again {again}." if again else ""
    if model["waitsFor"]:
        yield Cell("Waits for: ", Tone.FAINT), f"{model['waitsFor']}. {looks}".rstrip()
    elif looks:
        yield (looks,)
    applied = model["lastAppliedCommit"][:7]
    if applied and applied != model["lastAttemptedCommit"][:7]:
        yield Cell("Applied last: ", Tone.FAINT), f"commit {applied}"


def _next(model: Json) -> Line:
    name = model["name"]
    if (hand := _by_hand(model)) is not None:
        return hand
    if model.get("problems"):
        return _mend(model["problems"][0], model["lastAttemptedCommit"][:7])
    if _suspended(model):
        return ("remove suspend in Git; what serves keeps serving until then",)
    if needs_attention(model):
        stalled = model["conditions"]["stalled"]["status"] == "True"
        what = model["waitsFor"] if stalled and model["waitsFor"] else ""
        command = f"reconciler history {name}"
        return (f"{what}; " if what else "", Cell(command, Tone.MOVING), " shows what was tried")
    if is_fine(model):
        return ("nothing to do",)
    return "nothing to do but wait; ", Cell(f"reconciler status {name} --watch", Tone.MOVING), " follows it"


def _mend(problem: Mapping[str, Any], commit: str) -> Line:
    """Say how to mend a spec that cannot be used at this commit."""
    help_ = problem["help"]
    advice = f"{help_}{' ' if help_.endswith('?') else '; '}" if help_ else ""
    mend = f"mend {problem['path']}:{problem['line']} of commit {commit}, " if problem["line"] else ""
    return f"{advice}{mend}", Cell("reconciler validate", Tone.MOVING), ", commit"


def _suspended(model: Json) -> bool:
    """Return whether spec.suspend keeps it as it is, or holds an action up."""
    return model["health"] == "Suspended" or str(model["blockedBy"]).startswith(SUSPENDED_IN_GIT)


def _by_hand(model: Json) -> Line | None:
    """Return the one order that a person is waited for; None where there is none such."""
    if paused_by(model):
        return _command(model, "resume"), " lets it go on; promote and abort end it"
    if model["waitsFor"].startswith("approval"):
        return _command(model, "approve"), " once you are content with the evidence"
    stalled = model["conditions"]["stalled"]
    if stalled["status"] != "True":
        return None
    if "the rollout is paused" in stalled["message"]:
        return _command(model, "abort"), " takes it back; promote overrules its checks"
    if "rolled back" in stalled["message"] or "training failed" in stalled["message"]:
        return (
            "mend the cause, then ",
            _command(model, "retry"),
            f"; or {model['waitsFor'].removeprefix('`reconciler retry`, or ')}",
        )
    return None


def _command(model: Json, order: str) -> Cell:
    """Write the command that gives an order for what is shown here, and for nothing that comes after it."""
    about: Json = next((each for each in model.get("orderable", ()) if each["order"] == order), {})
    meant = "".join(f" --{name} {about[name]}" for name in ("version", "step") if about.get(name))
    return Cell(f"reconciler {order} {model['name']}{meant} --reason ...", Tone.MOVING)
