"""Reads an archive of tweets in whatever shape it comes.

A file, a folder or an address enters; valid rows leave, with what was found and what was left out.
Files are recognised by their content; what is not recognised is refused with what was tried. The
layers: files (reading, files), their text (encodings), its records (formats, json_lists), and the
tweets in them (tweets, exports).
"""

from training.archive.reading import Archive, read_archive
from training.archive.tweets import BadRow, Options, Owner, Row

__all__ = ["Archive", "BadRow", "Options", "Owner", "Row", "read_archive"]
