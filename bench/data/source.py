"""Any source of a dataset, as cards name it by its `type`."""

from __future__ import annotations

from bench.data.sources.emoji.package import EmojiPackage
from bench.data.sources.folder import Folder, OwnFolder
from bench.data.sources.hub import Hub
from bench.data.sources.library import Library
from bench.data.sources.manifest import Manifest, OwnTable
from bench.data.sources.pixel_tables import PixelTables
from bench.data.sources.shards.own import OwnFiles
from bench.data.sources.speech.synthesised import Synthesised
from bench.data.sources.tabular.own import OwnRows
from bench.data.sources.tabular.rows import PackageRows
from bench.data.sources.tabular.sequences import PackageSequences
from bench.data.sources.texts.own import OwnTexts
from bench.data.sources.texts.rated import RatedTexts

Source = (
    EmojiPackage
    | Folder
    | Hub
    | Library
    | Manifest
    | OwnFiles
    | OwnFolder
    | OwnRows
    | OwnTable
    | OwnTexts
    | PackageRows
    | PackageSequences
    | PixelTables
    | RatedTexts
    | Synthesised
)
