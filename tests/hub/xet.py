"""Reads the Xet store in a folder that hf_xet has built in (shard format of huggingface/xet-core).

The store is undocumented, and pinned with hf_xet.
"""

import struct
from pathlib import Path

SCHEME = "local://"
_HEADER_BYTES = _ENTRY_BYTES = 48
_HASH_BYTES = 32
_END = b"\xff" * _HASH_BYTES
_HAS_VERIFICATION, _HAS_METADATA = 1 << 31, 1 << 30


def hash_of(address: str, digest: str) -> str:
    """Xet's own hash of the file with that sha256.

    Raises:
        LookupError: no such file was pushed there.
    """
    for shard in Path(address.removeprefix(SCHEME)).glob("xet/xorbs/shards/*.mdb"):
        content, at = shard.read_bytes(), _HEADER_BYTES
        while (own := content[at : at + _HASH_BYTES]) != _END:
            flags, segments = struct.unpack_from("<II", content, at + _HASH_BYTES)
            per_segment = 2 if flags & _HAS_VERIFICATION else 1
            at += _ENTRY_BYTES * (1 + segments * per_segment)
            if flags & _HAS_METADATA:
                if _spelled(content[at : at + _HASH_BYTES]) == digest:
                    return _spelled(own)
                at += _ENTRY_BYTES
    raise LookupError(digest)


def _spelled(own: bytes) -> str:
    """As Xet writes hashes: four numbers of 64 bits, each from its high end."""
    return "".join(f"{part:016x}" for part in struct.unpack("<4Q", own))
