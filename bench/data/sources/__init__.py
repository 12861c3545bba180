"""Sources of images. A source lists a dataset's items; one file per kind of source.

To add a kind, write a model with a `type` literal and `listing(request) -> Listing`, which raises `Absent`
where it has no copy, and name it in the `Source` union. A card lists its sources in order of preference.
"""

from __future__ import annotations

from bench.data.sources.emoji import EmojiPackage
from bench.data.sources.folder import Folder, OwnFolder
from bench.data.sources.hub import Hub
from bench.data.sources.library import Library
from bench.data.sources.manifest import Manifest, OwnTable
from bench.data.sources.pixel_tables import PixelTables
from bench.data.sources.tabular.rows import PackageRows
from bench.data.sources.tabular.sequences import PackageSequences

Source = (
    EmojiPackage
    | Folder
    | Hub
    | Library
    | Manifest
    | OwnFolder
    | OwnTable
    | PackageRows
    | PackageSequences
    | PixelTables
)
