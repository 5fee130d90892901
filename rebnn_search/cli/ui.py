"""``rebnn-search ui NAME``: MLflow's UI on this machine, opened at a search's table and charts."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from rebnn_search.base.errors import UserError
from rebnn_search.base.layout import STORAGE
from rebnn_search.base.signals import interrupt_on_signals, signals_given_back
from rebnn_search.cli._tracked import HELP, identity_of, tracking_of


def parser(prog: str = "rebnn-search ui") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog, description="Start MLflow's UI for a search's tracking database, on this machine alone, until Ctrl-C."
    )
    p.add_argument("name", metavar="NAME", help="the search's name, as gamma-1")
    p.add_argument("--port", type=int, metavar="PORT", help="to listen at (default: 5000, or any that is free)")
    p.add_argument("--storage", metavar="DIR", default=STORAGE, help="where the search is kept (default: %(default)s)")
    p.add_argument("--tracking-uri", metavar="URI", help=HELP)
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if args.port is not None and not 1 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: expected 1 to 65535")
    if find_spec("mlflow") is None:
        raise UserError(f"MLflow is not installed for {sys.executable}: pip install mlflow")
    uri, identity = tracking_of(args.name, args.storage, args.tracking_uri), identity_of(args.name, args.storage)

    from rebnn_search.tracking.shared_view import find_view
    from rebnn_search.tracking.ui import HOST, held_port, serve_ui

    if uri.startswith(("http:", "https:")):
        print(find_view(uri, args.name, identity).link(uri))  # its UI is where it is
        return 0
    with signals_given_back(), held_port(args.port) as port:
        # Of a terminal that is closed, unless nohup says to go on: the server is in a session of its own.
        interrupt_on_signals(*([] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]))
        try:
            view = find_view(uri, args.name, identity)
            with serve_ui(uri, port) as server:
                print(view.link(f"http://{HOST}:{port}"), flush=True)
                print("Ctrl-C ends it", file=sys.stderr)
                code = server.wait()
            raise UserError(f"MLflow's UI ended by itself (code {code})")
        except KeyboardInterrupt:
            return 0
