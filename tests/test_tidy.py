"""The laws of the house, checked on the text: what may import, call, name and be as long as what.

Laws are stated as absences (ARCHITECTURE.md), so a test can look for what must not be there. Each
rule is one test and prints every place that breaks it. An exception stands in a table here, by
name and with its reason; a table entry that nothing needs any more fails too, so the tables only
shrink. Each test asserts that it looked at something.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from native.calls_build import rendered
from tests.sources import (
    PACKAGE,
    ROOT,
    Module,
    docstrings,
    dotted,
    files,
    functions,
    imports,
    modules,
    package,
    report,
    strings,
    text,
    under,
    unused,
)

# Who may import whom; an area may always import itself. cli asks the daemon over its socket, so of
# api it sees the client's half only. The reasons are in ARCHITECTURE.md.
ARROWS = {
    "": set(),
    "core": set(),
    "configuration": {"core", "paths"},
    "kernel": {"core", "paths", "_native"},
    "store": {"core", "paths"},
    "api": {"core", "paths"},
    # Agent programs import it, in whatever Python they have.
    "client": {"api.calls", "api.wire"},
    "view": {"core"},
    "gateway": {"core", "paths", "api"},
    # Of the store only what reads: `asmctl journal` must work while asmd does not.
    "cli": {
        "api.client",
        "api.numbers",
        "configuration",
        "core",
        "view",
        "paths",
        "store.chain",
        "store.errors",
        "store.reader",
        "store.verify",
    },
    "daemon": {"core", "configuration", "kernel", "store", "api", "view", "paths"},
}
IMPURE = {
    "asyncio", "ctypes", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "subprocess", "tempfile", "threading",
    "time",
}  # fmt: skip
# Nothing in the package starts a process or signals a pid: births are the keeper's, and a signal
# goes through a pidfd, which cannot hit a stranger that got the number later.
PROCESS_CALLS = re.compile(
    r"os\.(kill|killpg|fork|forkpty|system|popen|spawn\w*|posix_spawn\w*|exec\w*|wait\w*)"
    r"|subprocess\.\w+|multiprocessing\.\w+|pty\.\w+"
)
PROCESS_EXCEPTIONS = {
    f"{PACKAGE}/daemon/keeper_link.py": "a lost keeper is started again (CONTRACT, Programs)",
    f"{PACKAGE}/kernel/bcc_compiler.py": "LLVM must not stay in asmd (docs/decisions/0041)",
}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}

# The knobs and files of cgroupfs. C code may name them too: it is handed open folders.
CGROUP_TEXT = re.compile(
    r"^(.*/)?(cgroup\.\w+|(memory|cpu|io|pids|cpuset)\.(max|high|low|min|current|peak|stat|events"
    r"|weight|pressure|swap\.\w+))$|/sys/fs/cgroup"
)
CGROUP_EXCEPTIONS: dict[str, str] = {}

# name of a file: (lines it may have, why). Nothing else is over the limits of `line_limit`.
LONG_FILES: dict[str, tuple[int, str]] = {}
LONG_FUNCTIONS: dict[str, tuple[int, str]] = {}
FUNCTION_LINES_MAX = 70

# Suffixes of whole numbers: time, bytes, money and counts are never floats.
WHOLE = re.compile(r"_(us|ns|ms|usec|ticks|bytes|usd|nusd|micros|credits|tokens|count|total)$")
FLOAT_EXCEPTIONS: dict[str, str] = {}


def python_files() -> list[Module]:
    """Return every Python file of the repository."""
    found = list(modules(""))
    assert len(found) > 10
    return found


def test_core_is_pure() -> None:
    core = [module for module in package() if module.area == "core"]
    assert core
    broken = [
        f"{module.at(node)}: core imports {name}"
        for module in core
        for node, name in imports(module)
        if name.split(".")[0] in IMPURE
    ]
    calls = re.compile(r"^(open|print|input|exec|eval)$|\.(now|utcnow|today)$")
    broken += [
        f"{module.at(node)}: core calls {dotted(node.func)}()"
        for module in core
        for node in module.walk()
        if isinstance(node, ast.Call) and calls.search(dotted(node.func))
    ]
    report(broken)


def is_allowed(area: str, target: str) -> bool:
    """Say whether `area` may import `target`, both as names inside the package."""
    allowed = ARROWS[area] | {area} if area else {"paths"}
    return any(target == name or target.startswith(f"{name}.") for name in allowed)


def test_imports_follow_the_arrows() -> None:
    broken = []
    seen = 0
    for module in package():
        assert module.area in ARROWS, f"{module.path}: a folder that has no arrows yet"
        for node, name in imports(module):
            inside = name.removeprefix(f"{PACKAGE}.")
            if inside == name or inside == "__version__":
                continue
            seen += 1
            if not is_allowed(module.area, inside):
                broken.append(f"{module.at(node)}: {module.area} imports {inside}")
    assert seen > 10
    report(broken)


def process_names(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield each name that starts a process or signals a pid, used or imported."""
    used = [(node, dotted(node)) for node in module.walk() if isinstance(node, ast.Attribute)]
    for node, name in [*used, *imports(module)]:
        if PROCESS_CALLS.fullmatch(name) or name in ("subprocess", "multiprocessing", "pty"):
            yield node, name


def test_nothing_starts_a_process_or_signals_a_pid() -> None:
    broken = []
    used = set()
    for module in package():
        for node, name in process_names(module):
            if str(module.path) in PROCESS_EXCEPTIONS:
                used.add(str(module.path))
            else:
                broken.append(f"{module.at(node)}: {name}")
    report(broken + unused("PROCESS_EXCEPTIONS", PROCESS_EXCEPTIONS, used))


def test_only_cgroupfs_names_what_lies_in_cgroupfs() -> None:
    owner = f"{PACKAGE}/kernel/cgroupfs.py"
    broken = []
    used = set()
    for module in package():
        for node, value in strings(module):
            if str(module.path) == owner or not CGROUP_TEXT.search(value):
                continue
            if str(module.path) in CGROUP_EXCEPTIONS:
                used.add(str(module.path))
            else:
                broken.append(f"{module.at(node)}: {value!r}")
    report(broken + unused("CGROUP_EXCEPTIONS", CGROUP_EXCEPTIONS, used))


def test_only_the_daemon_and_the_commands_log_or_print() -> None:
    broken = []
    for module in package():
        if module.area in ("daemon", "cli"):
            continue
        names = [(node, name) for node, name in imports(module) if name.split(".")[0] == "logging"]
        broken += [f"{module.at(node)}: imports {name}" for node, name in names]
        broken += [
            f"{module.at(node)}: print()"
            for node in module.walk()
            if isinstance(node, ast.Call) and dotted(node.func) == "print"
        ]
    report(broken)


def test_no_file_has_a_name_that_says_nothing() -> None:
    broken = [
        str(path)
        for path in files()
        if path.name.split(".")[0] in NAMES_THAT_SAY_NOTHING
        or (path.suffix == ".py" and path.stem == path.parent.name)
    ]
    report(broken)


def line_limit(path: Path) -> int | None:
    """Return how many lines a file may have; None for those that are no code of ours."""
    if "vmlinux" in path.name or path.name.endswith(".skel.h"):
        return None  # generated
    if path.name.endswith((".bpf.c", ".bpf.h")):
        return 250
    return {".py": 500, ".c": 300, ".h": 150, ".sh": 300}.get(path.suffix)


def test_no_file_is_longer_than_one_idea() -> None:
    broken = []
    used = set()
    seen = 0
    for path in files():
        limit = line_limit(path)
        if limit is None:
            continue
        seen += 1
        lines = text(path).count("\n")
        if lines > limit and str(path) in LONG_FILES:
            used.add(str(path))
            limit = LONG_FILES[str(path)][0]
        if lines > limit:
            broken.append(f"{path}: {lines} lines, at most {limit}")
    assert seen > 20
    report(broken + unused("LONG_FILES", LONG_FILES, used))


def test_no_function_is_longer_than_a_page() -> None:
    broken = []
    used = set()
    for module in python_files():
        for function in functions(module.tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            name = f"{module.path}:{function.name}"
            limit = FUNCTION_LINES_MAX
            if lines > limit and name in LONG_FUNCTIONS:
                used.add(name)
                limit = LONG_FUNCTIONS[name][0]
            if lines > limit:
                broken.append(f"{name}: {lines} lines, at most {limit}")
    report(broken + unused("LONG_FUNCTIONS", LONG_FUNCTIONS, used))


def test_every_module_says_what_it_is() -> None:
    report(f"{module.path}" for module in python_files() if not ast.get_docstring(module.tree))


def public_functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List the functions that others may call: of the module and of its public classes."""
    bodies: list[ast.Module | ast.ClassDef] = [module.tree]
    bodies += [
        node
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    return [
        node
        for body in bodies
        for node in body.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not any(dotted(decorator).endswith(".setter") for decorator in node.decorator_list)
    ]


def test_every_public_function_and_class_of_the_package_is_documented() -> None:
    seen = 0
    broken = []
    for module in package():
        found: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = [
            *public_functions(module)
        ]
        found += [node for node in module.tree.body if isinstance(node, ast.ClassDef)]
        seen += len(found)
        broken += [
            f"{module.at(node)}: {node.name}" for node in found if not ast.get_docstring(node)
        ]
    assert seen > 20
    report(broken)


def floats_by_name(module: Module) -> list[tuple[ast.AST, str]]:
    """List the names with a unit of whole numbers that are annotated as, or given, a float."""
    found: list[tuple[ast.AST, str, ast.AST | None]] = []
    for node in module.walk():
        if isinstance(node, ast.AnnAssign):
            found.append((node, dotted(node.target), node.annotation))
        elif isinstance(node, ast.arg):
            found.append((node, node.arg, node.annotation))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node, node.name, node.returns))
        elif isinstance(node, ast.Assign):
            found += [(node, dotted(target), node.value) for target in node.targets]
    return [(node, name) for node, name, type_ in found if WHOLE.search(name) and has_float(type_)]


def has_float(node: ast.AST | None) -> bool:
    """Say whether an annotation names float, or an expression is one on its face."""
    if node is None:
        return False
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    if isinstance(node, ast.Call):
        return dotted(node.func) == "float"
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) or "float" in str(node.value)
    return any(isinstance(part, ast.Name) and part.id == "float" for part in ast.walk(node))


def test_time_bytes_and_money_are_whole_numbers() -> None:
    broken = []
    used = set()
    for module in package():
        for node, name in floats_by_name(module):
            if str(module.path) in FLOAT_EXCEPTIONS:
                used.add(str(module.path))
            else:
                broken.append(f"{module.at(node)}: {name} is a float")
    report(broken + unused("FLOAT_EXCEPTIONS", FLOAT_EXCEPTIONS, used))


def test_core_knows_no_float() -> None:
    core = [module for module in package() if module.area == "core"]
    report(
        f"{module.at(node)}: float"
        for module in core
        for node in module.walk()
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    )


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImplemented" + r"Error)\b")
    suffixes = (".py", ".c", ".h", ".sh", ".md", ".rst", ".yaml", ".toml", "Makefile")
    looked = [path for path in files() if path.name.endswith(suffixes)]
    assert len(looked) > 20
    report(
        f"{path}:{number}: {match.group()}"
        for path in looked
        for number, line in enumerate(text(path).splitlines(), 1)
        if (match := words.search(line))
    )


def test_a_silenced_checker_and_a_wide_except_give_their_reason() -> None:
    silenced = re.compile(
        r"#\s*(noqa\b(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|type:\s*ignore(\[[\w, -]+\])?)(.*)"
    )
    broken = []
    for module in python_files():
        lines = text(module.path).splitlines()
        for number, line in enumerate(lines, 1):
            match = silenced.search(line)
            if match and not match.group(match.lastindex or 0).strip(" #:.-"):
                broken.append(f"{module.path}:{number}: {match.group()} without a reason")
        for node in module.walk():
            is_wide = isinstance(node, ast.ExceptHandler) and (
                node.type is None or dotted(node.type) in ("Exception", "BaseException")
            )
            if is_wide:
                assert isinstance(node, ast.ExceptHandler)
                around = lines[node.lineno - 1 : node.body[0].lineno]
                if not any("#" in line for line in around):
                    broken.append(f"{module.at(node)}: a wide except without a reason")
    report(broken)


def c_files() -> list[Path]:
    """List the C and BPF sources of ours."""
    found = [path for path in under("", ".c", ".h") if "vmlinux" not in path.name]
    assert found
    return found


def test_every_c_file_names_its_licence_first() -> None:
    broken = []
    for path in c_files():
        wanted = "GPL-2.0-or-later" if path.parts[0] == "bpf" else "Apache-2.0"
        first = text(path).split("\n", 1)[0]
        if f"SPDX-License-Identifier: {wanted}" not in first:
            broken.append(f"{path}: line 1 does not say SPDX-License-Identifier: {wanted}")
    report(broken)


def test_what_is_made_from_the_table_of_calls_is_not_stale() -> None:
    made = rendered()
    assert len(made) == 3
    report(
        f"{name} is stale: make calls"
        for name, wanted in made.items()
        if not (ROOT / name).exists() or text(Path(name)) != wanted
    )


def test_no_bpf_program_prints_to_the_trace_pipe() -> None:
    report(f"{path}" for path in c_files() if re.search(r"\bbpf_printk\s*\(", text(path)))


def test_tests_skip_only_below_the_minimum_kernel() -> None:
    sanctioned = Path("tests/kernel_minimum.py")
    skips = re.compile(
        r"(^|\.)(skip|skipif|skipIf|skipUnless|skipTest|SkipTest|xfail|importorskip)$"
    )
    tests = [module for module in modules("tests") if module.path != sanctioned]
    assert len(tests) > 3
    report(
        f"{module.at(node)}: {dotted(node)}"
        for module in tests
        for node in module.walk()
        if isinstance(node, ast.Attribute) and skips.search(dotted(node))
    )


def test_every_test_can_fail() -> None:
    """A test that cannot fail is not one: `assert True` and an empty body are refused."""
    broken = []
    for module in modules("tests"):
        documentation = docstrings(module)
        for function in functions(module.tree):
            body = [
                node
                for node in function.body
                if not (isinstance(node, ast.Expr) and id(node.value) in documentation)
            ]
            if function.name.startswith("test_") and not body:
                broken.append(f"{module.at(function)}: {function.name} is empty")
            broken += [
                f"{module.at(node)}: assert {node.test.value!r}"
                for node in ast.walk(function)
                if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant)
            ]
    report(broken)
