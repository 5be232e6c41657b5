"""Diffs: hunks are blocks, changed lines drag their hunk's header and the names of their file along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.diff import CHANGE_LIFT, looks_like_diff, split_diff
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()

GIT = """\
commit 3f2a
Author: A. Person <person@example.org>

    Round the counts

diff --git a/src/stock.py b/src/stock.py
index ad388c7..20da768 100644
--- a/src/stock.py
+++ b/src/stock.py
@@ -14,7 +14,8 @@ class Stock(Base):
         if value is None:
             return None
         unit = self.units[self.precision]
-        return int(value.total() / unit.total())
+        # to the nearest whole number
+        return round(value.total() / unit.total())
 
     def load(self, path):
         with open(path) as file:
@@ -80,4 +81,4 @@ def report(stock):
 
--- a comment of the old query
+-- another comment of the query
 select
 1
diff --git a/logo.png b/logo.png
new file mode 100644
Binary files /dev/null and b/logo.png differ
diff --git a/old.py b/new.py
similarity index 90%
rename from old.py
rename to new.py
--- a/old.py
+++ b/new.py
@@ -1 +1 @@
-old = 1
+new = 1
\\ No newline at end of file
"""  # noqa: W293
PLAIN = """\
--- stock.c	2024-05-01 10:00:00
+++ stock.c.new	2024-05-02 10:00:00
@@ -1,3 +1,3 @@
 int main(void) {
-    return 1;
+    return 0;
 }
"""
COMBINED = """\
diff --cc stock.py
index 1,2..3
--- a/stock.py
+++ b/stock.py
@@@ -1,3 -1,3 +1,4 @@@
  same
- ours
 -theirs
++both
  end
"""


def cut(text: str, limits: Limits = LIMITS) -> Layout:
    assert looks_like_diff(text)
    layout = split_diff(text, limits)
    assert layout is not None
    check_layout(text, layout)
    assert layout.kind == "diff"
    return layout


def units(text: str, layout: Layout) -> list[str]:
    return [text[unit.start : unit.end] for unit in layout.units]


def unit_with(text: str, words: str) -> int:
    (index,) = [index for index, unit in enumerate(units(text, cut(text))) if words in unit]
    return index


def kept_with(text: str, words: str) -> str:
    layout = cut(text)
    return "".join(units(text, layout)[index] for index in sorted(layout.with_needs(unit_with(text, words))))


def test_a_changed_line_needs_the_header_of_its_hunk_and_the_names_of_its_file() -> None:
    assert kept_with(GIT, "return round(") == (
        "--- a/src/stock.py\n+++ b/src/stock.py\n@@ -14,7 +14,8 @@ class Stock(Base):\n"
        "-        return int(value.total() / unit.total())\n"
        "+        # to the nearest whole number\n+        return round(value.total() / unit.total())\n"
    )


def test_each_hunk_is_a_block_and_the_first_one_has_the_file_header() -> None:
    blocks = cut(GIT).blocks
    file, first, second = (blocks[unit_with(GIT, words)] for words in ("index ad388c7", "return round(", "select"))
    assert file == first == second - 1
    assert blocks[unit_with(GIT, "Round the counts")] == first - 1


def test_a_removed_line_that_looks_like_a_file_name_is_a_removed_line() -> None:
    assert "+-- another comment" in kept_with(GIT, "-- a comment of the old query")
    assert kept_with(GIT, "-- a comment of the old query").startswith("--- a/src/stock.py\n")


def test_changed_lines_are_lifted_over_unchanged_ones() -> None:
    layout = cut(GIT)
    assert layout.lift[unit_with(GIT, "return round(")] == CHANGE_LIFT
    assert layout.lift[unit_with(GIT, "def load")] == 0


def test_a_file_without_hunks_is_a_block_of_its_own() -> None:
    layout = cut(GIT)
    binary = unit_with(GIT, "Binary files")
    assert layout.needs[binary] == ()
    assert layout.blocks[binary - 1] < layout.blocks[binary] < layout.blocks[binary + 1]


def test_a_renamed_file_is_named_in_what_its_hunk_needs() -> None:
    assert kept_with(GIT, "+new = 1") == "--- a/old.py\n+++ b/new.py\n@@ -1 +1 @@\n-old = 1\n+new = 1\n\\ No newline at end of file\n"


def test_a_diff_of_two_files_needs_no_version_control() -> None:
    assert kept_with(PLAIN, "return 0") == PLAIN


def test_a_merge_has_one_column_of_signs_per_parent() -> None:
    layout = cut(COMBINED)
    assert layout.lift[unit_with(COMBINED, "theirs")] == CHANGE_LIFT
    assert "@@@ -1,3 -1,3 +1,4 @@@\n" in kept_with(COMBINED, "++both")


def test_colours_do_not_hide_a_diff() -> None:
    text = "".join(f"\x1b[{31 + len(line) % 7}m{line}\x1b[m\n" for line in GIT.rstrip("\n").split("\n"))
    assert "stock.py" in kept_with(text, "return round(")
    assert len(cut(text).units) >= len(cut(GIT).units)


def test_long_additions_are_cut_by_lines_and_at_blank_ones() -> None:
    lines = [f"+    value_{number} = compute(first, second, {number})\n" for number in range(60)]
    lines[20] = "+\n"
    text = "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,60 @@\n" + "".join(lines)
    pieces = units(text, cut(text))
    assert all(piece.endswith("\n") and len(piece) <= LIMITS.max_chars for piece in pieces)
    assert any(piece.endswith(lines[19] + "+\n") for piece in pieces)
    assert max(cut(text).blocks) > 0


def test_what_follows_the_last_hunk_is_not_part_of_it() -> None:
    text = PLAIN + "-- \n2.39\n\n(Current directory: /src)\n"
    layout = cut(text)
    index = unit_with(text, "2.39")
    assert layout.needs[index] == ()
    assert layout.blocks[index] > layout.blocks[unit_with(text, "return 0")]


def test_a_hunk_with_wrong_counts_ends_where_the_next_file_begins() -> None:
    text = PLAIN.replace("-1,3 +1,3", "-1,30 +1,30") + PLAIN.replace("stock", "other")
    assert kept_with(text, "other.c.new\t") == "--- other.c\t2024-05-01 10:00:00\n+++ other.c.new\t2024-05-02 10:00:00\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--- \n+++ \n",
        "* one\n- two\n+ three\n" * 30,
        "@@ not a hunk @@\n" * 30,
        "To mark a hunk, a diff writes\n@@ -1 +1 @@\n" + "and goes on with its lines, as everybody knows who has read one. " * 30,
    ],
)
def test_other_texts_are_not_diffs(text: str) -> None:
    assert not looks_like_diff(text) or split_diff(text, LIMITS) is None


_LINE = st.sampled_from(
    ["+added = 1", "-removed", " kept", "+", "", " ", "\\ No newline at end of file", "--- old", "+++ new", "日本語", "+x = '" + "y" * 300]
)
_HUNK = st.builds(
    lambda old, new, lines: f"@@ -{old},{len(lines)} +{new},{len(lines)} @@ def f():\n" + "".join(f"{line}\n" for line in lines),
    st.integers(0, 99),
    st.integers(0, 99),
    st.lists(_LINE, max_size=40),
)
_FILE = st.builds(
    lambda name, hunks: f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n" + "".join(hunks),
    st.sampled_from("abc"),
    st.lists(_HUNK),
)
DIFFS = st.builds(
    lambda message, files: message + "".join(files), st.sampled_from(["", "A message.\n\n"]), st.lists(_FILE, min_size=1, max_size=5)
)


@given(damaged(DIFFS), st.sampled_from([Limits(), Limits(1, 4, 10), Limits(20, 80, 300)]))
def test_any_diff_whole_or_damaged_is_tiled_by_units_with_two_needs_at_most(text: str, limits: Limits) -> None:
    layout = split_diff(text, limits)
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= 3 for index in range(len(layout.units)))


@given(TEXTS)
def test_any_text_is_tiled_or_refused(text: str) -> None:
    layout = split_diff(text, LIMITS)
    if layout is not None:
        check_layout(text, layout)


@pytest.mark.parametrize(
    "text", [PLAIN + "+" * 1_000_000, PLAIN + "+\n" * 500_000, PLAIN * 6_000, "@@ -1 +1 @@\n" * 80_000, "--- a\n" * 100_000]
)
def test_the_worst_diffs_are_cut_or_refused(text: str) -> None:
    layout = split_diff(text, LIMITS)
    if layout is not None:
        check_layout(text, layout)
