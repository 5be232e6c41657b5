"""Logs and stack traces: entries whole, traces apart, errors and the end lifted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.log import LAST_ENTRIES, LAST_LIFT, looks_like_log, split_log
from specprefill_agents.prompt.units.log_lines import ERROR_LIFT, WARNING_LIFT
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()

JAVA = """\
2024-03-01 12:00:00.123  INFO 1 --- [main] c.e.App : Starting the application
2024-03-01 12:00:01.123 ERROR 1 --- [http-1] c.e.Controller : Request failed
org.springframework.web.util.NestedServletException: Request processing failed
\tat org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1014)
\tat org.springframework.web.servlet.FrameworkServlet.doGet(FrameworkServlet.java:898)
Caused by: java.lang.IllegalStateException: no session
\tat com.example.Session.get(Session.java:12)
\tat com.example.Controller.home(Controller.java:42)
\t... 42 more
2024-03-01 12:00:02.123  INFO 1 --- [main] c.e.App : Still here
"""
PYTHON = """\
Collecting
Traceback (most recent call last):
  File "/app/a.py", line 17, in <module>
    result = fetch_everything_from_the_server()
  File "/app/b.py", line 836, in fetch_everything_from_the_server
    return object.__getattribute__(self, name)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/c.py", line 12, in __getattribute__
    return self.names[name]
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/d.py", line 1882, in main
    self.convert_pixel_data()
app.client.GaveUp: no answer after 3 tries
done
"""
GO = """\
starting up
panic: runtime error: index out of range [5] with length 3
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a1]

goroutine 1 [running]:
main.foo(0xc000012345, 0x3)
\t/home/user/project/main.go:12 +0x1d
main.main()
\t/home/user/project/main.go:20 +0x2f

goroutine 18 [chan receive]:
example.com/pool.(*Pool).worker(0xc0001)
\t/root/go/pkg/mod/example.com/pool/pool.go:88 +0x11
exit status 2
"""
JAVASCRIPT = """\
/srv/app/index.js:12
    throw new TypeError('x is not a function');
    ^

TypeError: x is not a function
    at Object.<anonymous> (/srv/app/index.js:12:11)
    at Module._compile (node:internal/modules/cjs/loader:1105:14)
    at node:internal/main/run_main_module:22:47

Node.js v18.0.0
"""
RUST = """\
   Compiling demo v0.1.0 (/srv/demo)
thread 'main' panicked at src/main.rs:4:5:
index out of bounds: the len is 3 but the index is 99
stack backtrace:
   0: rust_begin_unwind
             at /rustc/9fc6b43126469e3858e2fe86cafb4f0fd5068869/library/std/src/panicking.rs:665:5
   1: core::panicking::panic_fmt
             at /rustc/9fc6b43126469e3858e2fe86cafb4f0fd5068869/library/core/src/panicking.rs:74:14
note: run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""
PYTEST = """\
============================= test session starts ==============================
collected 3 items

tests/test_sums.py .F.                                                   [100%]

=================================== FAILURES ===================================
_________________________________ test_addition ________________________________

    def test_addition():
        first = compute_the_sum_of_two_numbers(1, 2)
        other = compute_the_sum_of_two_numbers(1, 3)
        expected_value_of_the_difference = 0
>       assert first - other == expected_value_of_the_difference
E       assert (3 - 4) == 0
E        +  where 3 = compute_the_sum_of_two_numbers(1, 2)

tests/test_sums.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests/test_sums.py::test_addition - assert (3 - 4) == 0
========================= 1 failed, 2 passed in 0.05s ==========================
"""
GCC = """\
make: Entering directory '/src'
src/a.c: In function 'main':
src/a.c:5:3: error: expected ';' before 'return'
    5 |   int x
      |        ^
src/b.c:9:1: warning: unused variable 'y' [-Wunused-variable]
    9 |   int y;
      |       ^
make: *** [Makefile:3: all] Error 1
"""
ACCESS = '127.0.0.1 - - [01/Jan/2024:12:00:00 +0000] "GET /things/{} HTTP/1.1" {} 1234 "-" "Mozilla/5.0"\n'


def layout_of(text: str, limits: Limits = LIMITS) -> Layout:
    layout = split_log(text, limits)
    assert layout is not None
    check_layout(text, layout)
    return layout


def pieces(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in layout_of(text).units]


def index_of(text: str, words: str) -> int:
    return next(at for at, piece in enumerate(pieces(text)) if words in piece)


def lift_of(text: str, words: str) -> float:
    return layout_of(text).lift[index_of(text, words)]


@pytest.mark.parametrize(
    "line",
    [
        "2024-01-02 03:04:05,678 - app.module - INFO - the value is 3 now, as expected by all\n",
        "2024-01-02T03:04:05.678Z INFO the value is 3 now, as expected by everybody here\n",
        "[2024-01-02 03:04:05] production.INFO: the value is 3 now, as expected by all\n",
        "Jan  2 03:04:05 host sshd[123]: Accepted publickey for root from 10.0.0.1 port 22\n",
        "I0102 03:04:05.678901       1 controller.go:123] the value is 3 now, as expected\n",
        "[   12.345678] usb 1-1: new high-speed USB device number 2 using xhci_hcd driver\n",
        "web_1  | 2024-01-02T03:04:05Z the value is 3 now, as expected by all who look on\n",
        "[pod/web-7d4b9/app] 2024-01-02T03:04:05Z the value is 3 now, as expected by all\n",
        'time="2024-01-02T03:04:05Z" level=info msg="the value is 3 now, as expected by all"\n',
        "INFO:root:the value is 3 now, as expected by everybody who has looked at it here\n",
        "[INFO] --- maven-compiler-plugin:3.8.1:compile (default-compile) @ demo-service ---\n",
        "tests/units/test_sums.py::test_addition_of_two_rather_small_numbers PASSED  [ 12%]\n",
        "\x1b[32m2024-01-02 03:04:05\x1b[0m INFO the value is 3 now, as expected by everybody\n",
        ACCESS.format(1, 200),
    ],
)
def test_each_line_of_a_usual_log_is_an_entry(line: str) -> None:
    assert looks_like_log(line * 5)
    assert pieces(line * 5) == [line] * 5


@pytest.mark.parametrize("text", [JAVA, PYTHON, GO, JAVASCRIPT, RUST, PYTEST, GCC])
def test_traces_and_build_output_are_logs(text: str) -> None:
    assert looks_like_log(text)
    assert looks_like_log(text.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        "It was late. At 10:30 the train left, and nobody was sorry.\n\nAn error, he said. No exception.\n" * 9,
        "def f():\n    raise ValueError('no')\n\n\nclass FooError(Exception):\n    pass\n" * 9,
        "time,level,message\n" + "2024-01-02 03:04:05,INFO,started\n" * 9,
        "# Changes\n\n2024-01-02 Release 3\n- fixed an error\n- fixed a warning\n" * 9,
        "",
        " \n\n",
    ],
)
def test_prose_code_and_tables_are_no_logs(text: str) -> None:
    assert not looks_like_log(text)
    assert split_log(text, LIMITS) is None


def test_a_stack_trace_is_a_block_of_its_own_with_the_line_that_logged_it() -> None:
    blocks = layout_of(JAVA).blocks
    first, last = index_of(JAVA, "Request failed"), index_of(JAVA, "42 more")
    assert blocks[0] < blocks[first] == blocks[last] < blocks[-1]
    assert blocks[first + 1 : last] == (blocks[first],) * (last - first - 1)


def test_a_call_needs_its_cause_and_the_cause_the_entry() -> None:
    layout = layout_of(JAVA)
    entry, cause = index_of(JAVA, "Request failed"), index_of(JAVA, "Caused by")
    assert layout.with_needs(index_of(JAVA, "Session.get")) == {index_of(JAVA, "Session.get"), cause, entry}
    assert layout.with_needs(index_of(JAVA, "doGet")) == {index_of(JAVA, "doGet"), entry}


def test_a_call_keeps_the_source_line_below_it() -> None:
    assert '  File "/app/c.py", line 12, in __getattribute__\n    return self.names[name]\n' in pieces(PYTHON)


@pytest.mark.parametrize(
    ("text", "words"), [(PYTHON, "KeyError: 'x'"), (PYTHON, "GaveUp: no answer"), (JAVA, "Caused by: "), (RUST, "index out")]
)
def test_what_went_wrong_is_a_unit_and_lifted(text: str, words: str) -> None:
    assert pieces(text)[index_of(text, words)].count("\n") <= 2
    assert lift_of(text, words) == ERROR_LIFT


def test_the_words_that_announce_a_trace_are_not_lifted() -> None:
    assert lift_of(PYTHON, "Traceback") == 0
    assert lift_of(RUST, "panicked at") == ERROR_LIFT


def test_chained_python_traces_are_one_block() -> None:
    layout = layout_of(PYTHON)
    assert layout.blocks[index_of(PYTHON, "a.py")] == layout.blocks[index_of(PYTHON, "GaveUp")]
    assert layout.blocks[index_of(PYTHON, "GaveUp")] < layout.blocks[index_of(PYTHON, "done")]


def test_a_panic_goes_with_the_goroutine_that_panicked() -> None:
    assert index_of(GO, "panic") == index_of(GO, "main.main()") < index_of(GO, "goroutine 18")
    assert lift_of(GO, "panic") == ERROR_LIFT


def test_a_failed_test_is_cut_under_its_name() -> None:
    layout = layout_of(PYTEST)
    assert layout.needs[index_of(PYTEST, "E       assert (3")] == (index_of(PYTEST, "__ test_addition __"),)
    assert lift_of(PYTEST, "E       assert (3") == ERROR_LIFT


def test_a_complaint_of_a_compiler_keeps_the_source_it_shows() -> None:
    assert "src/a.c:5:3: error: expected ';' before 'return'\n    5 |   int x\n      |        ^\n" in pieces(GCC)


def test_levels_and_words_of_trouble_lift_an_entry() -> None:
    calm = "2024-01-02 03:04:05 INFO all is well, and 0 errors were found in the last hour\n"
    text = calm * 9 + "2024-01-02 03:04:05 ERROR x\n" + calm * 9 + "2024-01-02 03:04:05 WARN y\n" + calm * 9
    text += "2024-01-02 03:04:05 the connection was refused\n" + calm * 9
    assert lift_of(text, "ERROR x") == lift_of(text, "was refused") == ERROR_LIFT
    assert lift_of(text, "WARN y") == WARNING_LIFT
    assert lift_of(text, "all is well") == 0
    assert layout_of(text).lift[-LAST_ENTRIES:] == (LAST_LIFT,) * LAST_ENTRIES


def test_the_status_of_a_request_counts_as_its_level() -> None:
    text = ACCESS.format("a", 200) * 5 + ACCESS.format("b", 503) + ACCESS.format("c", 404) + ACCESS.format("d", 200) * 5
    assert [lift_of(text, f"/{name} ") for name in "abc"] == [0, ERROR_LIFT, WARNING_LIFT]


def test_where_everything_is_an_error_being_one_lifts_nothing() -> None:
    text = "2024-01-02 03:04:05 ERROR the same thing happened again, and again, and again\n" * 20
    assert set(layout_of(text).lift[:-LAST_ENTRIES]) == {0.0}


def test_short_entries_are_put_together_but_not_with_errors() -> None:
    assert pieces("INFO a\n" * 8 + "ERROR b\n" + "INFO c\n" * 11)[:3] == ["INFO a\n" * 7, "INFO a\n", "ERROR b\n"]


def test_a_long_line_is_cut_after_sentences_and_every_piece_needs_the_first() -> None:
    text = "INFO x\n" * 9 + "2024-01-02 03:04:05 INFO " + "Something has been seen here. " * 40 + "\n"
    layout = layout_of(text)
    first = index_of(text, "03:04:05")
    assert len(layout.units) > first + 3
    assert set(layout.needs[first + 1 :]) == {(first,)}


def test_blocks_keep_to_their_size() -> None:
    text = "".join(f"2024-01-02 03:04:05 INFO request {number} was answered in time\n" for number in range(500))
    layout = layout_of(text)
    sizes = [0] * (layout.blocks[-1] + 1)
    for unit, block in zip(layout.units, layout.blocks, strict=True):
        sizes[block] += unit.end - unit.start
    assert max(sizes) <= LIMITS.block_chars
    assert min(sizes[:-1]) > LIMITS.block_chars // 2


LINES = st.sampled_from([line for text in (JAVA, PYTHON, GO, JAVASCRIPT, RUST, PYTEST, GCC) for line in text.splitlines(keepends=True)])
LOGS = st.one_of(
    st.sampled_from([JAVA, PYTHON, GO, JAVASCRIPT, RUST, PYTEST, GCC]),
    st.lists(LINES, max_size=40).map("".join),
    st.lists(st.sampled_from(["INFO x\n", " \n", "\n", "\tat a.b(C.java:1)\n", "Caused by: X\n", ACCESS]), max_size=40).map("".join),
)
LIMIT_SETS = st.sampled_from([LIMITS, Limits(1, 2, 3), Limits(10, 20, 60), Limits(200, 800, 4000)])


@given(st.one_of(damaged(LOGS), TEXTS), LIMIT_SETS)
def test_any_text_gets_a_layout_or_none_with_short_needs(text: str, limits: Limits) -> None:
    layout = split_log(text, limits)
    assert (layout is not None) == looks_like_log(text)
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= 4 for index in range(len(layout.units)))
        assert all(need < index for index, needs in enumerate(layout.needs) for need in needs)


@given(damaged(LOGS))
def test_units_end_where_lines_end_unless_a_line_is_long(text: str) -> None:
    layout = split_log(text, LIMITS)
    for unit in layout.units if layout else ():
        line = text[text.rfind("\n", 0, unit.end - 1) + 1 : (text.find("\n", unit.end - 1) + 1) or len(text)]
        assert text.endswith("\n", 0, unit.end) or unit.end == len(text) or len(line) > LIMITS.max_chars


@pytest.mark.parametrize(
    "text",
    [
        "INFO x\n" * 3 + "2024-01-02 03:04:05 INFO " + "a" * 1_000_000,
        "INFO x\n" * 3 + "a." * 500_000,
        "INFO x\n" * 3 + " " * 1_000_000,
        "INFO x\n" * 100_000,
        "INFO x\n" * 3 + "\n" * 200_000,
        "INFO x\n" * 3 + " a\n" * 100_000,
        "Traceback (most recent call last):\n" + '  File "a", line 1, in x\n    f()\n' * 20_000 + "RecursionError: too deep\n",
        "".join(" " * depth + "at f(a.js:1:1)\n" for depth in range(1, 1_400)),
    ],
)
def test_a_huge_log_is_split(text: str) -> None:
    layout_of(text)
