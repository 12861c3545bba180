"""Sources of items. A source lists a dataset's items; one file per kind of source.

To add a kind, write a model with a `type` literal and `listing(request) -> Listing`, which raises `Absent`
where it has no copy, and name it in `bench/data/source.py`. A card lists its sources in order of preference.
"""
