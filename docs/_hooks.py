"""What the documentation site needs beyond its options: a hook of mkdocs, and an extension of griffe.

Docstrings refer to names by Sphinx's roles, such as ``:func:`~crackle_zarr.compress```. On the site
they become links to the reference pages, or code where no page has the name.

Pages link to files of the repository, such as ``../benchmarks``, which the site has not. Such a link becomes
one to the repository, if mkdocs.yml has a ``repo_url``, and plain text otherwise.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
PACKAGE = "crackle_zarr"

_ROLE = re.compile(r":(?:py:)?(?:func|class|data|meth|mod|attr|exc|obj):`([^`]+)`")
_DIRECTIVE = re.compile(r"^::: (\S+)\n((?:    .*\n)*)", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

# Warnings below this name are errors of a strict build.
log = logging.getLogger("mkdocs.hooks.crackle_zarr")


# ---------------------------------------------------------------------------------------
# Roles in docstrings


class Roles(griffe.Extension):
    """Turns the roles in all docstrings into Markdown."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go through a package that has been read."""
        if pkg.path == PACKAGE:
            names = Names(pkg)
            for one in _with_docstrings(pkg):
                assert one.docstring is not None
                one.docstring.value = names.linked(one.docstring.value, one)


def _with_docstrings(of: griffe.Object) -> list[griffe.Object]:
    """An object and all below it that have docstrings; not what is imported from elsewhere."""
    below = [member for member in of.members.values() if isinstance(member, griffe.Object)]
    own = [of] if of.docstring is not None else []
    return own + [one for member in below for one in _with_docstrings(member)]


class Names:
    """The names that have a place on the reference pages."""

    def __init__(self, package: griffe.Module) -> None:
        self.package = package
        self.anchors: dict[str, str] = {}
        of_members: dict[str, str] = {}
        for page in sorted((DOCS / "api").glob("*.md")):
            for name, options in _DIRECTIVE.findall(page.read_text(encoding="utf-8")):
                found = self._object(name)
                if found is None:
                    continue  # the directive itself fails, and says so
                self.anchors[found.canonical_path] = name
                for member in () if "members: false" in options else found.members:
                    if not member.startswith("_"):
                        of_members[f"{found.canonical_path}.{member}"] = f"{name}.{member}"
        self.anchors = of_members | self.anchors  # a directive of its own is where a name belongs

    def _object(self, path: str) -> griffe.Object | None:
        """What lies at a path, where the path may go through imports; None for other packages' things."""
        if not path.startswith(f"{PACKAGE}."):
            return None
        try:
            found: Any = self.package[path.removeprefix(f"{PACKAGE}.")]
            target: griffe.Object = found.final_target if found.is_alias else found
            return target
        except (KeyError, griffe.GriffeError):
            return None

    def anchor(self, target: str, scope: griffe.Object) -> str | None:
        """The anchor of what a role in the docstring of ``scope`` means."""
        around: griffe.Object | None = scope
        paths = []
        while around is not None:  # a name is looked for as Python does it, from the inside out
            paths.append(f"{around.path}.{target}")
            around = around.parent
        # The package's own function stands for that of a module which is no page's: remap for stream.remap.
        own = target.rpartition(".")[2] if target.startswith(f"{PACKAGE}.") else target
        for path in (*paths, target, f"{PACKAGE}.{own}"):
            found = self._object(path)
            if found is not None and found.canonical_path in self.anchors:
                return self.anchors[found.canonical_path]
        return None

    def linked(self, text: str, scope: griffe.Object) -> str:
        """A docstring with links or code in place of roles."""

        def replaced(role: re.Match[str]) -> str:
            target = role[1].removeprefix("~").removesuffix("()")
            anchor = self.anchor(target, scope)
            if role[1].startswith("~"):
                shown = target.rpartition(".")[2]
            else:  # of the names that a thing has, the one that users import
                shown = anchor if anchor is not None and target.startswith(f"{PACKAGE}.") else target
            return f"`{shown}`" if anchor is None else f"[`{shown}`][{anchor}]"

        return _ROLE.sub(replaced, text)


# ---------------------------------------------------------------------------------------
# Links from pages


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Replace links that lead out of the documents."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        text, target = link.groups()
        path = posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))
        if _URL.match(target) or target.startswith(("#", "/")) or not path.startswith("../"):
            return link[0]
        inside = path.removeprefix("../")
        if not (DOCS.parent / inside).exists():
            log.warning("%s links to %s, which is not in the repository", page.file.src_uri, target)
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{inside})"
        return text if text.strip("`") == inside else f"{text} (`{inside}`)"

    return _LINK.sub(replaced, markdown)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """Notice a role that has come through."""
    left = re.search(r":(?:func|class|data|meth|mod|attr|exc|obj):", re.sub(r"(?s)<pre.*?</pre>", "", output))
    if left:
        log.warning("%s shows the role %s", page.file.src_uri, left[0])
    return output
