"""Program that downloads a source distribution with pip's own client, and runs nothing of it.

`python sdist_download.py NAME VERSION FOLDER`. `pip download` would build a source distribution to learn its
metadata, and so run its code. This asks pip's configured indexes for the file, as pip does, and stops there.
It imports nothing of ours, and is what breaks where a release of pip moves its insides.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

MOST_BYTES = 2**28


def main(name: str, version: str, folder: str) -> str:
    """Download the file; returns why it cannot be, or nothing."""
    commands: Any = importlib.import_module("pip._internal.commands")
    command = commands.create_command("download")
    options, _ = command.parse_args(["--no-deps", "--no-binary=:all:", "--quiet", name])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        found = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version]
        if not found:
            return f"no source distribution of {name} {version} is offered"
        link = found[0]
        if link.is_file:
            content = Path(link.file_path).read_bytes()
        else:
            answer = session.get(
                link.url_without_fragment, stream=True, headers={"Accept-Encoding": "identity"}
            )
            answer.raise_for_status()
            content = answer.raw.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return f"more than {MOST_BYTES >> 20} MiB"
    if link.hash_name and hashlib.new(link.hash_name, content).hexdigest() != link.hash:
        return "it is not the file that the index names"
    Path(folder, Path(link.filename).name).write_bytes(content)
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
