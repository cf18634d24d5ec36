"""The plan as a pull request's comment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.desired.state import DesiredModel, Diagnostic
from reconciler.plan.proposal import Proposal
from reconciler.plan.render_markdown import LONGEST, escape, marker, render_markdown, title
from reconciler.plan.spec_changes import FieldChange, Kind
from tests.plan.worlds import OLD, PIPELINE, model, proposal, retrain_and_archive, spec, state

COMMENT = """\
<!-- model-reconciler plan prod -->
## reconciler plan (prod): 1 archive, 1 retrain
| Model | What happens | From -> to | Held by |
|---|---|---|---|
| churn | **archive version 1** |  |  |
| fraud | retrain | n_estimators 50 -> 200 | auc >= 0.91, f1 at most 0.01 worse than production; \
answers: error rate &lt;= 1 %, at each of 2 steps |

> [!WARNING]
> Callers of models/churn get no answer any more.
> Archiving removes the way back to version 1 of churn.

**On merge:** churn is taken down; training starts; the new version gets 10 % of the traffic only after its gates \
pass. About 31 min to convergence. Assumed: a training takes 10m, a revision is ready after 1m, every gate and check \
passes.

<details><summary>Full plan</summary>

```text
Compared 4f2c1ab with main 9be0d13
"""


def many(count: int) -> Proposal:
    """Plan a commit that retrains so many models, all alike."""
    one = proposal(state(model("fraud", spec(trees=200))), {"fraud": model("fraud", commit=OLD)})
    (plan,) = one.plans
    names = [f"model-{number:05d}" for number in range(count)]
    return replace(one, plans=tuple(replace(plan, desired=replace(plan.desired, name=name)) for name in names))


def test_the_comment_has_table_warning_and_consequence_before_anything_folded() -> None:
    comment = render_markdown(retrain_and_archive(), "prod")
    assert comment.startswith(COMMENT)
    assert comment.endswith("<sub>4f2c1ab against main 9be0d13, updated on push</sub>\n")


def test_folded_parts_are_cut_first_and_the_table_keeps_every_row() -> None:
    comment = render_markdown(many(150))
    assert len(comment) <= LONGEST
    assert sum(line.startswith("| model-") for line in comment.splitlines()) == 150
    assert "n_estimators 50 -> 200" in comment
    assert "... cut: `reconciler plan` shows all of it" in comment


def test_cells_are_cut_before_rows() -> None:
    comment = render_markdown(many(900))
    assert len(comment) <= LONGEST
    assert sum(line.startswith("| model-") for line in comment.splitlines()) == 900


def test_only_where_names_alone_do_not_fit_rows_are_counted_instead() -> None:
    comment = render_markdown(many(3000))
    assert len(comment) <= LONGEST
    rows = sum(line.startswith("| model-") for line in comment.splitlines())
    assert f"| ... | {3000 - rows:,} more models | | |" in comment


def test_nothing_to_do_needs_no_table() -> None:
    before = model("iris", commit=OLD)
    comment = render_markdown(proposal(state(before), {"iris": before}))
    assert "## reconciler plan: nothing changes" in comment
    assert "**On merge:** nothing happens." in comment
    assert "|---" not in comment
    assert "<details>" not in comment


def from_to(changed: DesiredModel) -> str:
    """Return the cell that says what changes of fraud."""
    comment = render_markdown(proposal(state(changed), {"fraud": model("fraud", commit=OLD)}))
    (row,) = [line for line in comment.splitlines() if line.startswith("| fraud |")]
    return row.split(" | ")[2]


NAMED: dict[str, tuple[dict[str, object], str]] = {
    "gates by what they measure": (
        {"promotion": {"gates": [
            {"metric": "auc", "min": 0.95},
            {"metric": "f1", "against": "production", "maxRegression": 0.02},
        ]}},
        "gates\\[auc\\].min 0.91 -> 0.95, gates\\[f1 against production\\].maxRegression 0.01 -> 0.02",
    ),
    "a step by its place": (
        {"rollout": {
            "steps": [{"traffic": 20, "hold": "10m"}, {"traffic": 40, "hold": "10m"}],
            "analysis": [
                {"name": "answers", "interval": "2m", "probe": {"inputs": {"from": "inputExample"}, "requests": 9}},
            ],
        }},
        ("steps\\[0\\].traffic 10 -> 20, steps\\[1\\].traffic 50 -> 40, "
        "analysis\\[answers\\].probe.requests 20 -> 9"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", NAMED)
def test_what_changes_is_named_so_that_nothing_is_taken_for_another(sentence: str) -> None:
    changes, shown = NAMED[sentence]
    assert from_to(model("fraud", spec(**changes))) == shown  # type: ignore[arg-type]  # from a table


def test_two_whose_last_parts_are_the_same_are_named_by_their_whole_paths() -> None:
    (plan,) = many(1).plans
    paths = ("limits.cpu", "requests.cpu", "limits.memory")
    changes = tuple(FieldChange(f"serving.resources.{path}", Kind.CHANGED, 1, 2) for path in paths)
    comment = render_markdown(replace(many(1), plans=(replace(plan, changes=changes),)))
    assert "serving.resources.limits.cpu 1 -> 2, serving.resources.requests.cpu 1 -> 2, memory 1 -> 2" in comment


def test_a_file_is_named_by_its_whole_path() -> None:
    one = model("fraud")
    assert from_to(replace(one, files={PIPELINE: b"compiled again"})).startswith(f"file {PIPELINE} ")


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "a table's bar": ("a|b", "a\\|b"),
        "HTML": ("<img src=x>", "&lt;img src=x>"),
        "a mention": ("@everyone", "@\u200beveryone"),
        "an issue": ("#7", "#\u200b7"),
        "emphasis": ("**now**", "\\*\\*now\\*\\*"),
        "a link": ("[x](http://y)", "\\[x\\](http://y)"),
        "a code span": ("`x`", "\\`x\\`"),
        "a name with underscores": ("n_estimators", "n_estimators"),
        "emphasis by underscores": ("_x_", "\\_x\\_"),
        "another line": ("a\n## b", "a ## b"),
        "an entity": ("&lt;", "&amp;lt;"),
    }.values(),
)
def test_text_of_a_spec_is_never_markup(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_spec_cannot_close_the_fence_that_it_is_shown_in() -> None:
    wild = spec(registeredModel="```\n</details> <!-- model-reconciler plan prod -->")
    comment = render_markdown(proposal(state(model("fraud", wild)), {"fraud": model("fraud", commit=OLD)}), "prod")
    fence = comment.partition("<summary>Full plan</summary>\n\n")[2].partition("text\n")[0]
    assert fence == "````"
    assert comment.partition("<details>")[0].count("<!--") == 1


def test_no_name_of_an_environment_ends_the_hidden_marker_early() -> None:
    assert marker("prod") == "<!-- model-reconciler plan prod -->"
    assert marker("x--> <b>").count(">") == 1


def test_specs_that_cannot_be_used_are_in_the_title_and_in_a_box() -> None:
    problem = Diagnostic("unknown-field", 'there is no field "x"', "models/iris.yaml", 3, 5)
    made = replace(retrain_and_archive(), diagnostics=(problem,))
    assert title(made, "").endswith("1 retrain, not whole")
    assert '> error unknown-field: there is no field "x" (models/iris.yaml:3)' in render_markdown(made)
