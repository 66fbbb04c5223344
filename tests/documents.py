"""Reads the code blocks, the shell's commands and the links of the documents."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import re
import shlex
from collections.abc import Iterator

_FENCE = re.compile(r"```(\w*)$")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->$")
_SHELL_COMMENT = re.compile(r"(^|[ \t])# .*$|^#!.*$|^#SBATCH .*$", re.MULTILINE)
# Links and pictures of Markdown; no target of ours has a space or a parenthesis.
_LINK = re.compile(r"\]\(([^()\s]+)\)")
# Commands in prose whose flags are not ours.
_OTHERS = ("pip", "pytest", "python", "sbatch", "srun")
_INLINE_CODE = re.compile(r"`([^`\n]+)`")
_KEYWORDS = {"do", "then", "else", "exec"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        line: The line of the page on which the fence opens, from 1.
        language: What stands behind the fence.
        text: What stands between the fences.
        not_run: Why tests do not run it, of the comment above; empty if they do.
    """

    line: int
    language: str
    text: str
    not_run: str = ""


def blocks(page: str) -> list[Block]:
    """Returns the fenced code blocks of a page's text."""
    found, opened, reason, inside = [], None, "", []
    for number, line in enumerate(page.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None:
            if fence:
                found.append(Block(*opened, "\n".join(inside) + "\n", reason))
                opened, reason, inside = None, "", []
            else:
                inside.append(line)
        elif fence:
            opened = (number, fence[1])
        elif line.strip():
            comment = _NOT_RUN.match(line)
            reason = comment[1] if comment else ""
    return found


def prose(page: str) -> str:
    """Returns a page's text with empty lines in place of its code blocks."""
    lines = page.splitlines()
    for block in blocks(page):
        end = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def commands(script: str) -> list[list[str]]:
    """Returns the words of each simple command of a shell script.

    Knows what the documents use: comments (and no "# " in quotes), Slurm's, quotes,
    lines that go on, pipes, lists, subshells, redirections, variables before a command,
    for loops.
    """
    text = _SHELL_COMMENT.sub("", script.replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";|&()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    found, words, skip = [], [], False
    for token in [*lexer, "\n"]:
        if set(token) <= set(";|&()\n"):
            found += [words] if words else []
            words, skip = [], False
        elif set(token) <= set("<>"):
            skip = True  # the file of a redirection
        elif skip:
            skip = False
        elif words or not (token in _KEYWORDS or re.match(r"\w+=", token)):
            words.append(token)
    return found


def refusal_of_dask(words: list[str]) -> str:
    """Says what is wrong with the words of a command of dask's, if dask is here."""
    try:
        import click
        import distributed.cli
    except ImportError:
        return ""
    if words[1] not in ("scheduler", "worker"):
        return f"no known command: {words[:2]}"
    command = importlib.import_module(f"{distributed.cli.__name__}.dask_{words[1]}")
    try:
        command.main.make_context("dask", words[2:])
    except click.ClickException as error:
        return error.format_message()
    return ""


def inline_flags(page: str) -> Iterator[str]:
    """Gives the name of each flag of ours that a page's prose has in `code`."""
    for code in _INLINE_CODE.findall(prose(page)):
        if code.partition(" ")[0] not in _OTHERS:
            yield from re.findall(r"(?<!\S)--(\w+)", code)


def broken_links(path: pathlib.Path) -> list[str]:
    """Returns the relative links of a page that lead nowhere."""
    broken = []
    for target in _LINK.findall(prose(path.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        if not other.exists():
            broken.append(target)
        elif anchor and anchor not in anchors(other.read_text(encoding="utf-8")):
            broken.append(target)
    return broken


def anchors(page: str) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }
