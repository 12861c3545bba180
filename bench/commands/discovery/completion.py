"""`bench completion`: the script by which a shell asks this program for completions."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAMS = ("bench", "transfer-bench")


def source(shell: str) -> str:
    """Script for a shell, for both names of the program."""
    # With the root's command, since a completion is of the whole program.
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for '{shell}'")
    scripts = []
    for name in PROGRAMS:
        made = kind(root, {}, name, f"_{name.replace('-', '_').upper()}_COMPLETE")
        # Not `source()`, which starts a shell to ask for its version.
        scripts.append(made.source_template % made.source_vars())
    return "\n".join(scripts)
