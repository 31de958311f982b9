"""The folders of tests are those of the library, and a test file stands alone."""

import ast

from paths import ROOT

TESTS = ROOT / "tests"
OTHERS = {"bench", "docs", "stages", "support"}  # what is tested there is no package; and what several tests need
TREES = {path.relative_to(TESTS): ast.parse(path.read_text()) for path in TESTS.rglob("*.py")}


def modules(tree):
    """Each that is imported, anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_a_folder_of_tests_is_a_package_of_the_library_or_one_of_four_others():
    folders = {path.parent for path in TREES if path.parent.name}
    packages = {path.parent.relative_to(ROOT / "src/nerveseg") for path in ROOT.glob("src/nerveseg/**/__init__.py")}
    assert {str(folder) for folder in folders - packages} == OTHERS


def test_what_tests_share_is_in_support():
    assert [
        path for path in TREES if not (path.parts[0] == "support" or path.name.startswith(("test_", "conftest")))
    ] == []


def test_no_test_file_imports_from_another_nor_from_conftest():
    ours = {path.stem for path in TREES if path.parts[0] != "support"}
    wrong = {
        str(path): [name for name in modules(tree) if name in ours or name[0] == "."] for path, tree in TREES.items()
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_a_conftest_has_fixtures_and_hooks_of_pytest_and_nothing_else():
    for path, tree in TREES.items():
        if path.name == "conftest.py":
            for node in tree.body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("pytest_"):
                    assert any("fixture" in ast.unparse(each) for each in node.decorator_list), node.name


def test_one_module_says_where_this_checkout_is():
    names = {
        str(path): [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)] for path, tree in TREES.items()
    }
    assert [path for path, used in names.items() if "__file__" in used] == ["support/paths.py"]
