"""Schemas that want to break, fool or take over the compiler: the list in docs/spec/hostile_schemas.md.

What is about files on disk is tested where files are read and written; ``ELSEWHERE`` says where.
"""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import TypeAlias

import pytest

from amgen import compile_tree

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs" / "spec" / "hostile_schemas.md"
Document: TypeAlias = str | bytes | dict[str, str]

OK = ""
HEAD = "machine: M\n"
STATES = "states:\n  Foo: {doc: d}\n"


def states(*lines: str) -> str:
    return HEAD + "states:\n" + "".join(f"  {line}\n" for line in lines)


def arg(text: str) -> str:
    return states("Foo:", "  doc: d", "  args:", f"    x: {text}")


def chain(length: int) -> dict[str, str]:
    """Schemas each of which extends the next one."""
    links = (f"machine: P{i}\nextends: [p{i + 1}]\n{STATES}" for i in range(length - 1))
    last = f"machine: P{length - 1}\n{STATES}"
    return {f"p{i}.yaml": text for i, text in enumerate([*links, last])}


def escalation(relation: str, operation: str, *more: str) -> str:
    """Guests may add Foo, which does to Bar what only admins may."""
    foo = ", ".join(["doc: d", f"{relation}: [Bar]", "rpc: {guest: [add]}", *more])
    roles = "roles: [guest, admin]\n"
    return f"{HEAD}{roles}states:\n  Foo: {{{foo}}}\n  Bar: {{doc: d, rpc: {{admin: [{operation}]}}}}\n"


CASES: list[tuple[str, Document, str, int]] = [
    # id in the list, document or files, code ("" when it must be accepted), line of the first error in m.yaml
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
    ("Y4 omap", HEAD + "doc: !!omap [a: b]\n" + STATES, "AM013", 2),
    ("Y4 timestamp", HEAD + "doc: !!timestamp 2026-01-01\n" + STATES, "AM013", 2),
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
    ("Y16 version", "version: " + "9" * 4000 + "\n" + HEAD + STATES, "AM101", 1),
    ("Y16 hex", states("Foo: {doc: d, limit: 0x10}"), "AM101", 3),
    ("Y16 octal", states("Foo: {doc: d, limit: 010}"), "AM101", 3),
    ("Y16 infinite", states("Foo: {doc: d, timeout: .inf}"), "AM101", 3),
    ("Y16 exponent", states("Foo: {doc: d, timeout: 1e999}"), "AM101", 3),
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
    ("Y26 NEL name", states('"Foo\\N": {doc: d}'), "AM103", 3),
    ("Y26 name", states('"Foo\\u2028": {doc: d}'), "AM103", 3),
    ("Y28", states(*(f"S{i}: {{doc: d}}" for i in range(4097))), "AM313", 1),
    (
        "Y28 relations",
        states(f"Foo: {{doc: d, after: [{', '.join(f'S{i}' for i in range(10_000))}]}}"),
        "AM301",
        3,
    ),
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
    ("Y30 async", states("async: {doc: d}"), "AM103", 3),
    *((f"Y30 {word}", states(f"{word}: {{doc: d}}"), "AM103", 3) for word in ("match", "type", "case")),
    ("Y30 _", states("_: {doc: d}"), "AM103", 3),
    ("Y30 module", "machine: Class\n" + STATES, "AM104", 1),
    ("Y31 builtin", states("ValueError: {doc: d}"), "AM104", 3),
    ("Y31 Final", states("Final: {doc: d}"), "AM104", 3),
    ("Y31 Any", states("Any: {doc: d}"), "AM104", 3),
    ("Y31 print", states("print: {doc: d}"), "AM103", 3),
    ("Y31 State", states("State: {doc: d}"), "AM104", 3),
    ("Y31 Machine", states("Machine: {doc: d}"), OK, 0),
    ("Y31 arg self", states("Foo:", "  doc: d", "  args: {self: int}"), "AM104", 5),
    ("Y31 arg int", states("Foo:", "  doc: d", "  args: {int: int}"), "AM104", 5),
    ("Y31 arg keyword", states("Foo:", "  doc: d", "  args: {class: int}"), "AM104", 5),
    ("Y32 dunder", states("__class__: {doc: d}"), "AM103", 3),
    ("Y32 arg dunder", states("Foo:", "  doc: d", "  args: {__init__: int}"), "AM103", 5),
    *(
        (f"Y32 {word}", states(f"{word}: {{doc: d}}"), "AM103", 3)
        for word in ("mro", "_ignore_", "_missing_")
    ),
    ("Y32 name value", states("name: {doc: d}", "value: {doc: d}"), "AM103", 3),
    ("Y32 arg mro", states("Foo:", "  doc: d", "  args: {mro: int}"), "AM104", 5),
    ("Y32 arg decoders", states("Foo:", "  doc: d", "  args: {decoders: int}"), "AM104", 5),
    ("Y32 enum dunder", HEAD + "types: {T: {enum: [__class__]}}\n" + STATES, "AM103", 2),
    ("Y32 enum ignore", HEAD + "types: {T: {enum: [_ignore_]}}\n" + STATES, "AM103", 2),
    ("Y33 state", states("FooState: {doc: d}"), "AM104", 3),
    ("Y33 enter", states("FooEnter: {doc: d}"), "AM104", 3),
    ("Y33 any", states("AnyFoo: {doc: d}"), "AM104", 3),
    ("Y34 snake", states("HTTPServer: {doc: d}", "HttpServer: {doc: d}"), "AM305", 4),
    ("Y34 case", states("HttpServer: {doc: d}", "Httpserver: {doc: d}"), "AM305", 4),
    ("Y34 pair", states(*(f"{n}: {{doc: d}}" for n in ("A", "AToB", "BToC", "C"))), "AM305", 4),
    (
        "Y36 state",
        {
            "m.yaml": HEAD + "extends: [p]\nstates:\n  Foo: {rpc: {client: [add]}}\n",
            "p.yaml": "machine: P\nroles: {client: []}\nstates:\n  Foo: {doc: d}\n",
        },
        "AM207",
        4,
    ),
    (
        "Y36 role",
        {
            "m.yaml": HEAD + "extends: [p]\nroles: {client: [add]}\n" + STATES,
            "p.yaml": "machine: P\nroles: {client: [read]}\nstates:\n  Foo: {doc: d}\n",
        },
        "AM207",
        3,
    ),
    ("Y37", states('"A\']; import os #": {doc: d}'), "AM103", 3),
    ("Y37 group", HEAD + STATES + "groups: {'G: 1; import os #': [Foo]}\n", "AM103", 4),
    ("Y37 machine", "machine: 'M:\\n  import os'\n" + STATES, "AM103", 1),
    ("Y37 role", HEAD + "roles: ['a: 1\\n#']\n" + STATES, "AM103", 2),
    ("Y37 tag", states("Foo: {doc: d, tags: ['\"]\"']}"), "AM106", 3),
    ("Y37 target", states("Foo: {doc: d, add: ['A\"']}"), "AM103", 3),
    ("Y37 field", HEAD + "types: {T: {fields: {'x: int = exit(': int}}}\n" + STATES, "AM103", 2),
    ("Y37 enum", HEAD + "types: {T: {enum: ['a\"; import os #']}}\n" + STATES, "AM103", 2),
    ("Y38", HEAD + 'doc: \'"""\n\n  import os\n\n  """\'\n' + STATES, OK, 0),
    ("Y39 backslash", HEAD + "doc: 'x\\'\n" + STATES, OK, 0),
    ("Y39 quote", HEAD + "doc: 'x\\\"'\n" + STATES, OK, 0),
    ("Y40 line breaks", HEAD + 'doc: "a\\nb\\N c\\L d\\P e"\n' + STATES, OK, 0),
    ("Y40 form feed", HEAD + 'doc: "a\\fb"\n' + STATES, "AM016", 2),
    ("Y40 return", HEAD + 'doc: "a\\rb"\n' + STATES, "AM016", 2),
    ("Y41", HEAD + "doc: 'coding: utf-7 +AAo-import os'\n" + STATES, OK, 0),
    ("Y42", HEAD + "doc: '\\N{BULLET} \\x41 {} %s {{ }} {% raw %} {# x'\n" + STATES, OK, 0),
    ("Y43", arg("{type: str, default: '{__import__(\"os\").getpid()}'}"), OK, 0),
    ("Y44 call", arg("\"__import__('os').system('id')\""), "AM105", 6),
    ("Y44 print", arg("{type: 'print(1)'}"), "AM105", 6),
    ("Y44 list", arg("'list[__import__]'"), "AM105", 6),
    ("Y44 deep", arg("'" + "list[" * 50 + "int" + "]" * 50 + "'"), "AM105", 6),
    ("Y44 lambda", arg("'dict[str, (lambda: 1)()]'"), "AM105", 6),
    ("Y44 dotted", arg("os.PathLike"), "AM105", 6),
    ("Y44 forward", arg("\"'int'\""), "AM105", 6),
    ("Y44 newline", arg('"int\\n"'), "AM105", 6),
    ("Y44 default call", arg("{type: int, default: exit()}"), "AM106", 6),
    ("Y46 local", arg("{local: 'os; x'}"), "AM106", 6),
    ("Y46 base", HEAD + "imports: [evil]\n" + STATES, "AM102", 2),
    ("Y46 module", HEAD + "extends: [evil.module]\n" + STATES, "AM208", 2),
    ("Y46 statement", HEAD + "extends: ['os; x']\n" + STATES, "AM208", 2),
    ("Y46 dotted local", arg("{local: '..evil'}"), "AM106", 6),
    ("Y47", HEAD + 'doc: "{{ cycler.__init__.__globals__ }}"\n' + STATES, OK, 0),
    ("Y48", HEAD + "doc: '" + "x" * 4097 + "'\n" + STATES, "AM018", 2),
    ("Y49", states("Foo: {doc: d, tags: [{a: b}]}"), "AM101", 3),
    ("Y49 text", states("Foo: {doc: d, tags: ['a b']}"), "AM106", 3),
    ("Y49 doc", states("Foo: {doc: {a: b}}"), "AM101", 3),
    ("Y50 self", HEAD + "extends: [m]\n" + STATES, "AM202", 2),
    (
        "Y50 diamond",
        {
            "m.yaml": HEAD + "extends: [b, c]\n" + STATES,
            "a.yaml": "machine: A\nstates:\n  X: {doc: d}\n",
            "b.yaml": "machine: B\nextends: [a]\nstates:\n  X: {auto: true}\n",
            "c.yaml": "machine: C\nextends: [a]\nstates:\n  X: {multi: true}\n",
        },
        "AM203",
        2,
    ),
    ("Y51", states("Foo: {doc: d, require: [Bar]}"), "AM301", 3),
    ("Y52", states("Foo: {doc: d, require: [Bar], remove: [Bar]}", "Bar: {doc: d}"), "AM302", 3),
    ("Y52 self", states("Foo: {doc: d, add: [Foo], remove: [Foo]}"), OK, 0),
    ("Y53", states("Foo: {doc: d, require: [Bar]}", "Bar: {doc: d, require: [Foo]}"), "AM303", 3),
    ("Y53 self", states("Foo: {doc: d, require: [Foo]}"), "AM303", 3),
    ("Y53 add", states("Foo: {doc: d, add: [Bar]}", "Bar: {doc: d, add: [Foo]}"), OK, 0),
    ("Y54 add", escalation("add", "add"), "AM308", 4),
    ("Y54 remove", escalation("remove", "remove"), "AM308", 4),
    ("Y54 reason", escalation("add", "add", "acl_override: {Bar: guests ring it}"), OK, 0),
    ("Y54 no reason", escalation("add", "add", "acl_override: {Bar: ''}"), "AM308", 4),
    (
        "Y55",
        {
            "m.yaml": HEAD + "extends: [p, q]\nstates:\n  Foo: {doc: d}\n",
            "p.yaml": "machine: P\nstates:\n  Bar: {doc: d}\n",
            "q.yaml": "machine: Q\nstates:\n  Bar: {doc: d, auto: true}\n",
        },
        "AM203",
        2,
    ),
    ("Y56 missing", HEAD + STATES, OK, 0),
    ("Y56 this", "version: 1\n" + HEAD + STATES, OK, 0),
    ("Y56 newer", "version: 2\n" + HEAD + "statez: {}\n", "AM108", 1),
    ("Y56 zero", "version: 0\n" + HEAD + STATES, "AM101", 1),
    ("Y56 text", "version: latest\n" + HEAD + STATES, "AM101", 1),
    ("Y57", states("Foo: {doc: d, requre: [Bar]}"), "AM102", 3),
    ("Y57 root", HEAD + "stats: {}\n" + STATES, "AM102", 2),
    ("Y57 arg", arg("{type: int, defualt: 1}"), "AM102", 6),
    ("Y58 text", states("Foo: {doc: d, require: Bar}", "Bar: {doc: d}"), "AM101", 3),
    ("Y58 bool", states("Foo: {doc: d, auto: 'false'}"), "AM101", 3),
    ("Y58 yes", states("Foo: {doc: d, auto: yes}"), "AM101", 3),
    ("Y58 number", states("Foo: {doc: d, limit: '3'}"), "AM101", 3),
    ("Y58 list", states("Foo: [auto]"), "AM101", 3),
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
def test_hostile_schema(row: str, document: Document, code: str, line: int) -> None:
    files = document if isinstance(document, dict) else {"m.yaml": document}
    sources = {n: t.encode("utf-8", "surrogatepass") if isinstance(t, str) else t for n, t in files.items()}
    start = time.perf_counter()
    outcome = compile_tree(sources, only=["m.yaml"])
    assert time.perf_counter() - start < 10
    errors = [d for d in outcome.diagnostics if d.severity == "error"]
    if not code:
        assert errors == []
        assert set(outcome.files) == {"m.py", "__init__.py"}
        return
    assert outcome.files == {}
    assert (errors[0].code, errors[0].span.path, errors[0].span.line) == (code, "m.yaml", line), errors


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


def test_a_circle_of_parents_is_shown_whole() -> None:  # Y50
    sources = {
        "a.yaml": b"machine: A\nextends: [b]\nstates: {}\n",
        "b.yaml": b"machine: B\nextends: [a]\nstates: {}\n",
    }
    (error,) = compile_tree(sources, only=["a.yaml"]).diagnostics
    assert (error.code, str(error.span)) == ("AM202", "b.yaml:2:11")
    assert error.message.endswith(": a.yaml -> b.yaml -> a.yaml")


def test_generations_are_bounded() -> None:  # Y50
    sources = {name: text.encode() for name, text in chain(50).items()}
    (error,) = compile_tree(sources, only=["p0.yaml"]).diagnostics
    assert (error.code, error.message) == ("AM202", "more than 8 generations of schemas")


def test_the_biggest_machine_compiles_in_time() -> None:  # Y28
    text = states(*(f"S{i}: {{doc: d, after: [S{i // 2}]}}" for i in range(1, 4096)), "S0: {doc: d}")
    start = time.perf_counter()
    outcome = compile_tree({"m.yaml": text.encode()}, only=["m.yaml"])
    assert [d.code for d in outcome.diagnostics if d.severity == "error"] == [
        "AM313"
    ]  # Exception is one more
    assert time.perf_counter() - start < 10


FLOODS = {
    "states": states(*(f"State{i}: {{doc: d}}" for i in range(3000)))
    + f"  Foo: {{doc: d, add: [{', '.join(f'Stata{i}' for i in range(60_000))}]}}\n",
    "groups": HEAD
    + "groups:\n"
    + "".join(f"  Group{i}: {{doc: d, states: []}}\n" for i in range(5000))
    + f"states:\n  Foo: {{doc: d, add: [{', '.join(f'$Grope{i}' for i in range(40_000))}]}}\n",
    "keys": HEAD + "".join(f"state{i}: x\n" for i in range(60_000)) + STATES,
    "types": states("Foo:", "  doc: d", "  args:", *(f"    a{i}: inte" for i in range(40_000))),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_many_slips_do_not_take_for_ever(kind: str) -> None:  # Y67
    """Each unknown name is compared with known ones, which takes long; so both are bounded."""
    start = time.perf_counter()
    found = compile_tree({"m.yaml": FLOODS[kind].encode()}).diagnostics
    assert time.perf_counter() - start < 20
    assert [d.code for d in found].count("AM019") == 1
    assert sum(d.severity == "error" for d in found) in (1000, 1001)


ELSEWHERE = {
    "Y67": ["test_hostile.py::test_many_slips_do_not_take_for_ever"],
    "Y27": [
        "test_source.py::test_big_files_are_refused",
        "test_source.py::test_a_pipe_does_not_hang",
        "test_source.py::test_folders_called_like_files_are_no_files",
    ],
    "Y38": ["test_render_canary.py::test_no_text_is_ever_run"],
    "Y60": [
        "test_source.py::test_links_out_of_the_folder_are_refused",
        "test_source.py::test_links_to_folders_are_refused",
    ],
    "Y61": [
        "test_write.py::test_files_of_others_are_never_overwritten_nor_removed",
        "test_write.py::test_names_that_are_not_written",
    ],
    "Y62": [
        "test_write.py::test_symbolic_links_are_not_followed",
        "test_write.py::test_a_failed_write_leaves_the_old_file_whole",
        "test_write.py::test_a_writer_that_is_killed_leaves_the_old_file_whole",
        "test_write.py::test_a_folder_that_cannot_be_written_is_an_error",
    ],
    "Y64": ["test_source.py::test_what_is_checked_is_what_is_read"],
    "Y65": ["test_config.py::test_wrong_tables"],
    "Y66": [
        "test_source.py::test_a_huge_folder_is_refused",
        "test_source.py::test_too_many_schemas_are_refused",
    ],
}


def test_every_schema_of_the_list_is_tested() -> None:
    listed = re.findall(r"^\| (Y\d+) \|", LIST.read_text("utf-8"), re.MULTILINE)
    assert len(set(listed)) == len(listed)
    assert {case[0].split()[0] for case in CASES} | set(ELSEWHERE) == set(listed)
    for file, name in (place.split("::") for places in ELSEWHERE.values() for place in places):
        tree = ast.parse((Path(__file__).parent / file).read_text("utf-8"))
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, f"{file}::{name}"
