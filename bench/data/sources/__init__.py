"""Where images come from. A source lists a dataset's items; one file per kind of source.

To add a kind, write a model with a `type` literal, `domains`, `digest()` and `items()`, and name it in
the `Source` union.
"""

from __future__ import annotations

from bench.data.sources.emoji import EmojiPackage

Source = EmojiPackage
