"""Programming languages: how each is told from its lines, and where its grammar comes from.

Every grammar is a wheel of its own and is loaded when a text looks like its language; nothing is fetched at run time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from specprefill_agents.prompt.units.code_lines import without_gutters
from specprefill_agents.prompt.units.lines import has_tiny_lines

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar

_HEAD_CHARS, _MIDDLE_CHARS, _TAIL_CHARS = 4_000, 2_000, 2_000
_LINE_CHARS = 200
_MIN_TELLING = 2
_MIN_TELLING_SHARE = 0.06
_CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Language:
    """A language with the `telling` shapes of its lines: common in code of that language, rare in any other text.

    `grammar` and `entry` name the module of the grammar and its function. `contexts` are pieces of code that a fragment
    may have been cut out of; "{" stands for as many blocks as the fragment closes without having opened them. `literals`
    are the marks that open and close strings and comments of several lines. `member` is the shape of a method's first line
    where that reads as a call with a block behind it outside of a class; its first group is the indent.
    """

    name: str
    grammar: str
    telling: re.Pattern[str]
    entry: str = "language"
    contexts: tuple[str, ...] = ()
    literals: tuple[tuple[str, str], ...] = ()
    member: re.Pattern[bytes] | None = None


_COMMENTS = (("/*", "*/"),)
_QUOTING = (*_COMMENTS, ("`", "`"))
_METHOD = re.compile(
    rb"^([ \t]+)(?:(?:static|async|get|set|public|private|protected|override) |[*#])*"
    rb"(?!(?:if|for|while|switch|catch|with|function|return|await)\b)[\w$]+ ?\([^\n]*\)[^\n;()=]*\{[ \t]*$",
    re.MULTILINE,
)
_SCRIPT_CONTEXTS = ("{", "class _ {\n_() {", "class _ {\n", "_ = {\n", "/*\n")


def _lines(*shapes: str) -> re.Pattern[str]:
    return re.compile(rf"^[^\S\n]*(?=\S)(?:{'|'.join(shapes)})", re.MULTILINE)


_C_LINES = (
    r"#[^\S\n]*(?:include[^\S\n]*[<\"]|define \w|ifn?def \w|if (?:defined|[A-Z_])|endif\b)",
    r"(?:static |extern |inline |const |unsigned |signed |struct |enum )*"
    r"(?:int|void|char|long|short|double|float|bool|size_t|u?int\d+_t|\w+_t)\b[ *]+\w+[^\S\n]*[(\[=;,]",
    r"(?:typedef|struct|union|enum)\b[^.\n]*[{;][^\S\n]*$",
    r"[\w.]+->\w+.*[;{][^\S\n]*$",
    r"(?:if|for|while|switch) ?\([^\n]*\)[^\S\n]*\{?[^\S\n]*$",
    r"return\b[^\n]*;[^\S\n]*$",
)
_SCRIPT_LINES = (
    r"(?:export |default |async )*function\b ?\*? ?\w*\(",
    r"(?:export )?(?:const|let|var) [\w$\[{][^\n]*(?:=|;[^\S\n]*$)",
    r"(?:export|import)\b[^\n]*['\"];?[^\S\n]*$",
    r"(?:export )?(?:default )?(?:abstract )?class \w+[^\n:]*\{[^\S\n]*$",
    r"[^\n]*=>[^\S\n]*[{(]?[^\S\n]*$",
    r"[^\n]*(?:\brequire\(['\"]|[=!]==|\bconsole\.\w+\(|\bthis\.\w+ ?=)",
    r"(?:if|for|while|switch) ?\([^\n]*\)[^\S\n]*\{[^\S\n]*$",
    r"return\b[^\n]*;[^\S\n]*$",
)
_TYPED_LINES = (
    r"(?:export )?(?:declare )?(?:interface|type|enum|namespace) \w+[^\n]*[={][^\S\n]*$",
    r"(?:import|export) type\b",
    r"(?:private|public|protected|readonly|static)\b[^\n]*[\w)]\??: ",
    r"[^\n;]*\w\??: (?:string|number|boolean|unknown|any|void|never|Promise<|Array<|Record<)",
)

LANGUAGES = (
    Language(
        "python",
        "tree_sitter_python",
        _lines(
            r"(?:async )?def \w+[^\S\n]*\(",
            r"class \w+(?:\([^\n]*\))?:[^\S\n]*(?:#|$)",
            r"from [\w.]+ import [\w(*]",
            r"import [\w.]+(?: as \w+)?(?:, [\w., ]+)?[^\S\n]*(?:#|$)",
            r"(?:(?:if|elif|while|with|for|except|async for|async with)\b[^\n;{]*[\w)\]\"']|else|try|finally):[^\S\n]*(?:#[^\n]*)?$",
            r"(?:return|yield|raise|assert)\b[^\n.]*(?:\.\w[^\n]*)?[\w)\]}\"'][^\S\n]*$",
            r"@\w[\w.]*(?:\([^\n]*)?$",
            r"self\.\w+(?: ?[-+*/|]?= |\()",
            r"[a-z_]\w*(?:, \w+)* = \w[\w.]*\([^\n;]*[)({\[,]$",
        ),
        contexts=('"""\n', "_ = {\n"),
        literals=(('"""', '"""'), ("'''", "'''")),
    ),
    Language(
        "javascript",
        "tree_sitter_javascript",
        _lines(*_SCRIPT_LINES),
        contexts=_SCRIPT_CONTEXTS,
        literals=_QUOTING,
        member=_METHOD,
    ),
    Language(
        "typescript",
        "tree_sitter_typescript",
        _lines(*_TYPED_LINES, *_SCRIPT_LINES),
        entry="language_typescript",
        contexts=_SCRIPT_CONTEXTS,
        literals=_QUOTING,
        member=_METHOD,
    ),
    Language(
        "tsx",
        "tree_sitter_typescript",
        _lines(r"[^\n]*(?:</\w[\w.]*>|/>)[;),]*[^\S\n]*$", r"<\w[\w.]*(?: |>$)", *_TYPED_LINES, *_SCRIPT_LINES),
        entry="language_tsx",
        contexts=_SCRIPT_CONTEXTS,
        literals=_QUOTING,
        member=_METHOD,
    ),
    Language(
        "java",
        "tree_sitter_java",
        _lines(
            r"(?:package|import(?: static)?) [\w.]+(?:\.\*)?;",
            r"(?:public|private|protected|static|final|abstract|@Override)\b[^\n:]*[;{(,)][^\S\n]*$",
            r"@(?:Override|Test|Deprecated|Autowired|SuppressWarnings|Nullable)\b",
            r"(?:[A-Z]\w*(?:<[^\n;]*>)?(?:\[\])?|int|boolean|long|double|char|byte) \w+ ?(?:= [^\n]*)?;[^\S\n]*$",
            r"(?:throw new|return new) \w+",
            r"(?:if|for|while|switch|catch) ?\([^\n]*\)[^\S\n]*\{[^\S\n]*$",
            r"return\b[^\n]*;[^\S\n]*$",
        ),
        contexts=("{", "class _ {\n{", "class _ {\n", "/*\n"),
        literals=(*_COMMENTS, ('"""', '"""')),
    ),
    Language(
        "go",
        "tree_sitter_go",
        _lines(
            r"package \w+[^\S\n]*$",
            r"func (?:\(\w+ \*?[\w\[\]., ]+\) )?\w*[\[(]",
            r"import (?:\(|\")",
            r"type \w+ (?:struct|interface|func)\b",
            r"[\w, .\[\]]+ := [^\n;]*$",
            r"(?:if|for|switch|select)\b[^\n();]*(?:\([^\n]*\)[^\n]*)?(?:;[^\n]*)?\{[^\S\n]*$",
            r"defer \w|go func\(",
            r"return(?: [^\n;]*)?[^;\n]$",
        ),
        contexts=("{", "func _() {\n{", "type _ struct {\n", "/*\n"),
        literals=_QUOTING,
    ),
    Language(
        "rust",
        "tree_sitter_rust",
        _lines(
            r"(?:pub(?:\([\w ]+\))? )?(?:async |unsafe |const )*fn \w+",
            r"(?:pub(?:\([\w ]+\))? )?(?:struct|enum|trait|mod|impl|union)\b[^\n:]*(?::[^\n]*)?[{;(][^\S\n]*$",
            r"impl\b[^\n]*\{[^\S\n]*$",
            r"(?:pub )?use [\w:]+(?:::|;)",
            r"let (?:mut )?[\w(]+[^\n]*(?:=|;[^\S\n]*$)",
            r"#!?\[\w",
            r"[^\n;]* => [^\n]*[,{][^\S\n]*$",
            r"[^\n]*(?:\.unwrap\(\)|\w+!\(|\w::\w+|&mut |\?;[^\S\n]*$)",
            r"(?:if|for|while|match|loop)\b[^\n;]*\{[^\S\n]*$",
        ),
        contexts=("{", "impl _ {\nfn _() {", "impl _ {\n", "struct _ {\n", "/*\n"),
        literals=_COMMENTS,
    ),
    Language("c", "tree_sitter_c", _lines(*_C_LINES), contexts=("{", "struct _ {\n", "/*\n"), literals=_COMMENTS),
    Language(
        "cpp",
        "tree_sitter_cpp",
        _lines(
            r"template ?<",
            r"(?:using )?namespace\b[^\n]*[{;][^\S\n]*$",
            r"using \w+ = [^\n]*;",
            r"(?:public|private|protected):[^\S\n]*$",
            r"(?:class|struct) \w+[^\n;]*[{:][^\S\n]*$",
            r"(?:virtual |constexpr |explicit |static_cast|auto |friend )",
            r"[^\n]*(?:\bstd::|\w+::~?\w+\(|\bnullptr\b|\) const (?:override|noexcept|\{))",
            *_C_LINES,
        ),
        contexts=("{", "class _ {\nvoid _() {", "class _ {\n", "/*\n"),
        literals=_COMMENTS,
    ),
)


def likely_languages(text: str) -> list[Language]:
    """Languages that `text` may be written in, the likeliest first, few or none; reads a bounded part of the text."""
    if has_tiny_lines(text):
        return []  # no code that anyone wrote
    middle = len(text) // 2
    sample = text
    if len(text) > _HEAD_CHARS + _MIDDLE_CHARS + _TAIL_CHARS:
        sample = "\n".join((text[:_HEAD_CHARS], text[middle : middle + _MIDDLE_CHARS], text[-_TAIL_CHARS:]))
    shown = [line[:_LINE_CHARS] for line in without_gutters(sample).split("\n") if line and not line.isspace()]
    sample = "\n".join(shown)
    found = [(len(language.telling.findall(sample)), -at, language) for at, language in enumerate(LANGUAGES)]
    found = [one for one in found if one[0] >= max(_MIN_TELLING, _MIN_TELLING_SHARE * len(shown))]
    return [language for _, _, language in sorted(found, key=lambda one: one[:2], reverse=True)[:_CANDIDATES]]


def looks_like_code(text: str) -> bool:
    """Whether enough lines of `text` have a shape that is common in code and rare elsewhere; reads a bounded part of it."""
    return bool(likely_languages(text))


@cache
def grammar_of(language: Language) -> Grammar | None:
    """The grammar of `language`, or None where its wheel is not installed."""
    try:
        from tree_sitter import Language as Grammar

        return Grammar(getattr(import_module(language.grammar), language.entry)())
    except ImportError:
        return None
