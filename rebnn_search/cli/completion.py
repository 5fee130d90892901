"""``rebnn-search completion SHELL``: what a shell needs to complete verbs, flags, names of searches and of parts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec

from rebnn_search.base.errors import UserError

PROGRAM = "rebnn-search"
SHELLS = {
    "bash": 'eval "$(rebnn-search completion bash)"     in ~/.bashrc',
    "zsh": 'eval "$(rebnn-search completion zsh)"      in ~/.zshrc, after compinit',
    "fish": "rebnn-search completion fish > ~/.config/fish/completions/rebnn-search.fish",
}


def parser(prog: str = "rebnn-search completion") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print what a shell runs to complete this program's command lines.",
        epilog="\n".join(f"  {line}" for line in SHELLS.values()),
    )  # fmt: skip
    p.add_argument("shell", metavar="SHELL", choices=tuple(SHELLS), help=", ".join(SHELLS))
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if find_spec("argcomplete") is None:
        raise UserError(f"argcomplete is not installed for {sys.executable}: pip install argcomplete")
    from argcomplete.shell_integration import shellcode

    print(shellcode([PROGRAM], shell=args.shell))
    return 0


def answer(verbs: Mapping[str, str], line: str) -> None:
    """Answer a shell that asks what may come next in a command line, and end the process.

    Args:
        verbs: The program's, with what each does.
        line: What is typed so far.
    """
    import argcomplete

    argcomplete.autocomplete(whole_parser(verbs, line))


def whole_parser(verbs: Mapping[str, str], line: str) -> argparse.ArgumentParser:
    """One parser for all verbs; the arguments are there of that alone which is typed: the others need not be imported."""
    whole = argparse.ArgumentParser(prog=PROGRAM)
    whole.add_argument("--version", action="store_true")
    under = whole.add_subparsers()
    typed = line.split()[1:2]
    for verb, what in verbs.items():
        own = [import_module(f"rebnn_search.cli.{verb}").parser()] if [verb] == typed else []
        with_completers = under.add_parser(verb, help=what, parents=own, add_help=False)
        if own:
            _attach(verb, with_completers)
    return whole


def _attach(verb: str, p: argparse.ArgumentParser) -> None:
    from rebnn_search.cli._completers import BY_METAVAR, BY_PLACE

    for action in p._actions:
        found = BY_PLACE.get((verb, action.dest)) or BY_METAVAR.get(str(action.metavar))
        if found is not None:
            action.completer = found  # type: ignore[attr-defined]  # argcomplete's way
