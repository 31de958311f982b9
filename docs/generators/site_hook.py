"""Add pages to the site that are not in docs/: the documents at the repository's root, and the reference.

Links are written as they work in the repository and on GitHub, for example from README.md to `docs/scores.md`, and from there
to `../bench/README.md`. On the site the pages have other addresses, so this hook rewrites the links.
"""

import posixpath
import re
from contextlib import chdir
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from commands_page import commands_page
from outputs_page import outputs_page
from params_page import params_page

ROOT = Path(__file__).resolve().parents[2]
FROM_THE_REPOSITORY = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "measurements.md": "bench/README.md",
}
REFERENCE = {
    "reference/params.md": params_page,
    "reference/command-line.md": commands_page,
    "reference/output-files.md": outputs_page,
}
_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in FROM_THE_REPOSITORY.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    with chdir(ROOT):  # the generators read params.yaml and dvc.yaml from there
        for page, made in REFERENCE.items():
            files.append(File.generated(config, page, content=made()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return with_links_of_the_site(markdown, page.file.src_uri)


def with_links_of_the_site(markdown: str, page: str) -> str:
    """Return the Markdown of `page`, a path on the site, with links to pages instead of to files of the repository."""
    if page in REFERENCE:
        return markdown
    folder = posixpath.dirname(FROM_THE_REPOSITORY.get(page, f"docs/{page}"))
    pages = {source: name for name, source in FROM_THE_REPOSITORY.items()}

    def on_the_site(link: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(folder, link[2]))
        target = pages.get(file) or (posixpath.relpath(file, "docs") if file.startswith("docs/") else file)
        return f"{link[1]}{posixpath.relpath(target, posixpath.dirname(page) or '.')}{link[3] or ''}{link[4]}"

    return _LINK.sub(on_the_site, markdown)
