"""Schemas that want to break, fool or take over the compiler. Numbers are rows of the threat list."""

from __future__ import annotations

import time

import pytest

from amgen import compile_tree

OK = ""
HEAD = "machine: M\n"
STATES = "states:\n  Foo: {doc: d}\n"


def states(*lines: str) -> str:
    return HEAD + "states:\n" + "".join(f"  {line}\n" for line in lines)


def arg(text: str) -> str:
    return states("Foo:", "  doc: d", "  args:", f"    x: {text}")


CASES: list[tuple[str, str | bytes, str, int]] = [
    # row, document, code ("" when it must be accepted), line
    ("Y1", HEAD + "doc: !!python/object/apply:os.system [id]\n" + STATES, "AM013", 2),
    ("Y2 name", HEAD + "doc: !!python/name:os.system\n" + STATES, "AM013", 2),
    ("Y2 tuple", HEAD + "doc: !!python/tuple [1]\n" + STATES, "AM013", 2),
    ("Y2 module", HEAD + "doc: !!python/module:os\n" + STATES, "AM013", 2),
    ("Y3", "%TAG ! tag:yaml.org,2002:\n---\n" + HEAD + "doc: !python/name:os.system\n" + STATES, "AM013", 1),
    ("Y3 version", "%YAML 1.1\n---\n" + HEAD + STATES, "AM013", 1),
    ("Y4 custom", HEAD + "doc: !custom x\n" + STATES, "AM013", 2),
    ("Y4 binary", HEAD + "doc: !!binary aGk=\n" + STATES, "AM013", 2),
    ("Y4 set", HEAD + "doc: !!set {a}\n" + STATES, "AM013", 2),
    ("Y4 str", HEAD + "doc: !!str a\n" + STATES, "AM013", 2),
    ("Y5", HEAD + "doc: &a [x, x]\nextends: [*a, *a]\n" + STATES, "AM012", 2),
    ("Y5 alias", HEAD + STATES + "groups: {G: *a}\n", "AM012", 4),
    ("Y6", HEAD + "states:\n  Foo: {<<: {doc: d}}\n", "AM012", 3),
    ("Y7 list", HEAD + "states: &a [*a]\n", "AM012", 2),
    ("Y7 map", HEAD + "states: &a {x: *a}\n", "AM012", 2),
    ("Y8", HEAD + "doc: '" + "x" * (1 << 20) + "'\n" + STATES, "AM010", 1),
    ("Y9 state", states("Foo: {doc: a}", "Bar: {doc: b}", "Foo: {doc: c}"), "AM015", 5),
    (
        "Y9 key",
        states("Foo:", "  doc: d", "  require: [Bar]", "  require: [Bar]", "Bar: {doc: d}"),
        "AM015",
        6,
    ),
    ("Y10", HEAD + "states:\n  <<: {Foo: {auto: true}}\n  Foo: {doc: d}\n", "AM012", 3),
    ("Y11 flow", HEAD + "doc: " + "[" * 10_000 + "\n", "AM014", 2),
    ("Y11 block", HEAD + "doc:\n" + "".join(f"{' ' * i}- \n" for i in range(1, 900)), "AM014", 18),
    ("Y12 two", HEAD + STATES + "---\n" + HEAD + STATES, "AM017", 4),
    ("Y12 empty", "", "AM017", 1),
    ("Y12 comment", "# nothing\n", "AM017", 1),
    ("Y12 null", "null\n", "AM017", 1),
    ("Y12 list", "- machine: M\n", "AM017", 1),
    ("Y12 scalar", "machine\n", "AM017", 1),
    ("Y13 names", states(*(f"{n}: {{doc: d}}" for n in ("No", "On", "Off", "Yes", "Y", "Null"))), OK, 0),
    ("Y13 refs", states("No: {doc: d}", "Foo: {doc: d, require: [No]}"), OK, 0),
    ("Y13 y", states("y: {doc: d}"), "AM103", 3),
    ("Y13 tilde", states("~: {doc: d}"), "AM103", 3),
    ("Y13 null", states("null: {doc: d}"), "AM103", 3),
    ("Y13 True", states("True: {doc: d}"), "AM104", 3),
    ("Y15 null key", HEAD + STATES + "? \n: x\n", "AM102", 4),
    ("Y15 int key", states("1: {doc: d}"), "AM103", 3),
    ("Y15 list key", states("[a, b]: {doc: d}"), "AM101", 3),
    ("Y15 map key", states("{a: b}: {doc: d}"), "AM101", 3),
    ("Y16 limit", states("Foo: {doc: d, limit: " + "9" * 4000 + "}"), "AM101", 3),
    ("Y16 default", arg("{type: int, default: " + "9" * 4000 + "}"), "AM106", 6),
    ("Y17 tab", HEAD + "states:\n\tFoo: {}\n", "AM011", 3),
    ("Y17 indent", HEAD + "states:\n    Foo: {}\n  Bar: {}\n", "AM011", 4),
    ("Y18 BOM", b"\xef\xbb\xbf" + (HEAD + STATES).encode(), OK, 0),
    ("Y18 CRLF", (HEAD + STATES).replace("\n", "\r\n"), OK, 0),
    ("Y18 CR", (HEAD + STATES).replace("\n", "\r"), OK, 0),
    ("Y19 UTF-16", (HEAD + STATES).encode("utf-16"), "AM010", 1),
    ("Y19 Latin-1", (HEAD + "doc: é\n" + STATES).encode("latin-1"), "AM010", 2),
    ("Y19 overlong", HEAD.encode() + b"doc: \xc0\xaf\n" + STATES.encode(), "AM010", 2),
    ("Y19 surrogate", HEAD.encode() + b"doc: \xed\xa0\x80\n" + STATES.encode(), "AM010", 2),
    ("Y20 NUL", HEAD + "doc: a\x00b\n" + STATES, "AM016", 2),
    ("Y20 ESC", HEAD + "doc: a\x1bb\n" + STATES, "AM016", 2),
    ("Y20 escape", HEAD + 'doc: "a\\0b"\n' + STATES, "AM016", 2),
    ("Y21 raw", HEAD + "doc: a\u202eb\n" + STATES, "AM016", 2),
    ("Y21 escape", HEAD + 'doc: "a\\u2066b"\n' + STATES, "AM016", 2),
    ("Y22", states("Re\u0430dy: {doc: d}"), "AM103", 3),
    ("Y23 wide", states("\uff32eady: {doc: d}"), "AM103", 3),
    ("Y23 ligature", states("\ufb01re: {doc: d}"), "AM103", 3),
    ("Y23 long s", states("\u017ftart: {doc: d}"), "AM103", 3),
    ("Y24", states("Caf\u00e9: {doc: d}"), "AM103", 3),
    ("Y25", states("Fo\u200bo: {doc: d}"), "AM103", 3),
    ("Y26 text", HEAD + 'doc: "a\\u2028b\\N c"\n' + STATES, OK, 0),
    ("Y26 name", states('"Foo\\u2028": {doc: d}'), "AM103", 3),
    ("Y28", states(*(f"S{i}: {{doc: d}}" for i in range(4097))), "AM313", 1),
    ("Y29 dash", states("my-state: {doc: d}"), "AM103", 3),
    ("Y29 digit", states("1st: {doc: d}"), "AM103", 3),
    ("Y29 space", states("A b: {doc: d}"), "AM103", 3),
    ("Y29 empty", states("'': {doc: d}"), "AM103", 3),
    ("Y29 long", states("A" * 65 + ": {doc: d}"), "AM103", 3),
    ("Y29 longest", states("A" * 64 + ": {doc: d}"), OK, 0),
    ("Y29 dot", states("A.b: {doc: d}"), "AM103", 3),
    ("Y29 newline", states('"A\\nb": {doc: d}'), "AM103", 3),
    ("Y29 trailing", states('"Ab\\n": {doc: d}'), "AM103", 3),
    ("Y30 class", states("class: {doc: d}"), "AM103", 3),
    ("Y30 None", states("None: {doc: d}"), "AM104", 3),
    ("Y30 _", states("_: {doc: d}"), "AM103", 3),
    ("Y30 module", "machine: Class\n" + STATES, "AM104", 1),
    ("Y31 builtin", states("ValueError: {doc: d}"), "AM104", 3),
    ("Y31 Final", states("Final: {doc: d}"), "AM104", 3),
    ("Y31 arg self", states("Foo:", "  doc: d", "  args: {self: int}"), "AM104", 5),
    ("Y31 arg int", states("Foo:", "  doc: d", "  args: {int: int}"), "AM104", 5),
    ("Y31 arg keyword", states("Foo:", "  doc: d", "  args: {class: int}"), "AM104", 5),
    ("Y32 dunder", states("__class__: {doc: d}"), "AM103", 3),
    ("Y32 arg dunder", states("Foo:", "  doc: d", "  args: {__init__: int}"), "AM103", 5),
    ("Y33 state", states("FooState: {doc: d}"), "AM104", 3),
    ("Y33 enter", states("FooEnter: {doc: d}"), "AM104", 3),
    ("Y33 any", states("AnyFoo: {doc: d}"), "AM104", 3),
    ("Y34 snake", states("HTTPServer: {doc: d}", "HttpServer: {doc: d}"), "AM305", 4),
    ("Y34 case", states("HttpServer: {doc: d}", "Httpserver: {doc: d}"), "AM305", 4),
    ("Y34 pair", states(*(f"{n}: {{doc: d}}" for n in ("A", "AToB", "BToC", "C"))), "AM305", 4),
    ("Y37", states('"A\']; import os #": {doc: d}'), "AM103", 3),
    ("Y44 call", arg("\"__import__('os').system('id')\""), "AM105", 6),
    ("Y44 print", arg("{type: 'print(1)'}"), "AM105", 6),
    ("Y44 list", arg("'list[__import__]'"), "AM105", 6),
    ("Y44 deep", arg("'" + "list[" * 50 + "int" + "]" * 50 + "'"), "AM105", 6),
    ("Y46 local", arg("{local: 'os; x'}"), "AM106", 6),
    ("Y46 base", HEAD + "imports: [evil]\n" + STATES, "AM102", 2),
    ("Y47", HEAD + 'doc: "{{ cycler.__init__.__globals__ }}"\n' + STATES, OK, 0),
    ("Y48", HEAD + "doc: '" + "x" * 4097 + "'\n" + STATES, "AM018", 2),
    ("Y49", states("Foo: {doc: d, tags: [{a: b}]}"), "AM101", 3),
    ("Y49 text", states("Foo: {doc: d, tags: ['a b']}"), "AM106", 3),
    ("Y51", states("Foo: {doc: d, require: [Bar]}"), "AM301", 3),
    ("Y52", states("Foo: {doc: d, require: [Bar], remove: [Bar]}", "Bar: {doc: d}"), "AM302", 3),
    ("Y53", states("Foo: {doc: d, require: [Bar]}", "Bar: {doc: d, require: [Foo]}"), "AM303", 3),
    ("Y53 self", states("Foo: {doc: d, require: [Foo]}"), "AM303", 3),
    ("Y53 add", states("Foo: {doc: d, add: [Bar]}", "Bar: {doc: d, add: [Foo]}"), OK, 0),
    ("Y57", states("Foo: {doc: d, requre: [Bar]}"), "AM102", 3),
    ("Y58 text", states("Foo: {doc: d, require: Bar}", "Bar: {doc: d}"), "AM101", 3),
    ("Y58 bool", states("Foo: {doc: d, auto: 'false'}"), "AM101", 3),
    ("Y58 yes", states("Foo: {doc: d, auto: yes}"), "AM101", 3),
    *(
        (f"Y59 {path!r}", HEAD + f"extends: [{path!r}]\n" + STATES, "AM208", 2)
        for path in (
            *("../../../etc/passwd", "/etc/passwd", "~/x", "file:///etc/passwd"),
            *("https://example.org/x", "C:\\x", "a/../../b", "a//b", "x.yaml", "..", "a b"),
        )
    ),
    ("Y59 NUL", HEAD + 'extends: ["a\\0b"]\n' + STATES, "AM016", 2),
]


@pytest.mark.parametrize(("row", "document", "code", "line"), CASES, ids=[c[0] for c in CASES])
def test_hostile_schema(row: str, document: str | bytes, code: str, line: int) -> None:
    data = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    start = time.perf_counter()
    outcome = compile_tree({"m.yaml": data})
    assert time.perf_counter() - start < 10
    errors = [d for d in outcome.diagnostics if d.severity == "error"]
    if not code:
        assert errors == []
        assert set(outcome.files) == {"m.py", "__init__.py"}
        return
    assert outcome.files == {}
    assert (errors[0].code, errors[0].span.line) == (code, line), errors


def test_both_places_of_a_duplicate_key_are_named() -> None:
    outcome = compile_tree({"m.yaml": states("Foo: {doc: a}", "Foo: {doc: c}").encode()})
    (error,) = outcome.diagnostics
    assert (error.span.line, error.related[0].span.line) == (4, 3)


def test_too_many_relations_are_refused() -> None:  # Y28
    names = [f"S{i}" for i in range(300)]
    targets = ", ".join(names)
    text = states(*(f"{n}: {{doc: d, after: [{targets}]}}" for n in names))
    assert [d.code for d in compile_tree({"m.yaml": text.encode()}).diagnostics] == ["AM313"]


def test_many_anchors_cost_nothing() -> None:  # Y8
    text = HEAD + "doc: [" + ", ".join(f"&a{i} x" for i in range(50_000)) + "]\n"
    start = time.perf_counter()
    assert [d.code for d in compile_tree({"m.yaml": text.encode()}).diagnostics] == ["AM012"]
    assert time.perf_counter() - start < 5


def test_a_name_of_a_device_of_another_system_is_just_unknown() -> None:  # Y59
    outcome = compile_tree({"m.yaml": (HEAD + "extends: [CON]\n" + STATES).encode()})
    assert [d.code for d in outcome.diagnostics] == ["AM201"]
