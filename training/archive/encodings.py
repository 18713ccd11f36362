"""From bytes to text: what a file is encoded in, and what is no text at all."""

import codecs
import io

from charset_normalizer import from_bytes

from training import TrainingError
from training.archive.files import HEAD_BYTES, File

_SCAN_BYTES = 1 << 20
# Of a text in UTF-16, every other byte of its ASCII characters and line breaks is 0.
_MIN_NUL_SHARE, _MAX_OTHER_SHARE = 0.2, 0.02
_MAX_CONTROL_SHARE = 0.02
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16, whose mark begins it.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LATIN = ("cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "latin_1", "iso8859_15", "mac_roman")
_BLUESKY = (
    "a repository of Bluesky (CAR), which is not read. Convert it with Bluesky's own tool goat "
    "(`goat repo unpack FILE.car`) and name the folder that this writes"
)
_FOREIGN = {
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"%PDF": "a PDF",
    b"SQLite format 3": "a database of SQLite. Export its table as CSV",
    b"7z\xbc\xaf\x27\x1c": "packed with 7-Zip. Unpack it",
    b"Rar!": "packed with RAR. Unpack it",
    b"\xd0\xcf\x11\xe0": "a document of Office. Save the table as CSV (UTF-8)",
    b"ARROW1": "an Arrow file. Save the table as parquet",
    b"\xff\xff\xff\xff": "an Arrow file. Save the table as parquet",
    b"\x80\x04\x95": "a pickle, which can run code. Save the table as parquet or CSV",
    b"\x80\x05\x95": "a pickle, which can run code. Save the table as parquet or CSV",
}


def check_encoding(name: str) -> None:
    """Raises TrainingError if Python knows no encoding of that name."""
    try:
        "".encode(name)
    except (LookupError, UnicodeError):
        raise TrainingError(
            f"--encoding {name!r} is not known; utf-8, cp1252, utf-16 and shift_jis are."
        ) from None


def open_text(file: File, encoding: str | None) -> io.TextIOWrapper:
    """The file as text, in the encoding given or the one that its first bytes tell. Line breaks
    stay as they are: a tweet may contain any of them. Raises TrainingError if it is no text."""
    found = encoding or _encoding(file.head(), str(file))
    return io.TextIOWrapper(file.open(), encoding=found, newline="")


def undecodable(file: File, encoding: str | None) -> TrainingError:
    """Where a file is not in its encoding, and which one it may be in."""
    encoding = encoding or _encoding(file.head(), str(file))
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with file.open() as stream:
        chunk = b"-"
        while chunk:
            chunk = stream.read(_SCAN_BYTES)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                # What the decoder kept of the chunk before is in `object` too.
                data, at = error.object, error.start
                line += data.count(b"\n", 0, at)
                around = data[max(0, at - HEAD_BYTES) : at + HEAD_BYTES]
                return TrainingError(
                    f"{file} is not {encoding.removesuffix('-sig').upper()}: line {line:,} "
                    f"has the byte 0x{data[at]:02x}.{_guess(around)}"
                )
            line += chunk.count(b"\n")
    return TrainingError(f"{file} is not {encoding.upper()}: it is cut short.")


def _guess(data: bytes) -> str:
    best = from_bytes(data).best()
    # Of the encodings of Latin letters, Windows' own is by far the likeliest.
    name = "cp1252" if best is None or best.encoding in _LATIN else best.encoding
    return f" It may be {name}: try --encoding {name}."


def _encoding(head: bytes, name: str) -> str:
    for mark, encoding in _BOMS.items():
        if head.startswith(mark):
            return encoding
    if b"roots" in head[:20] and head[1:2] == b"\xa2":
        raise TrainingError(f"{name} is {_BLUESKY}.")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise TrainingError(f"{name} is {what}.")
    even, odd = (head[start::2].count(0) / max(1, len(head) // 2) for start in (0, 1))
    if odd > _MIN_NUL_SHARE and even < _MAX_OTHER_SHARE:
        return "utf-16-le"
    if even > _MIN_NUL_SHARE and odd < _MAX_OTHER_SHARE:
        return "utf-16-be"
    controls = sum(head.count(code) for code in range(32) if code not in b"\t\n\v\f\r\x1b")
    if controls > _MAX_CONTROL_SHARE * len(head):
        raise TrainingError(
            f"{name} is no text: of its first {len(head):,} bytes {controls:,} are control "
            "characters. Tried: gzip, bzip2, xz, zstd, zip, tar, parquet, UTF-8, UTF-16, UTF-32."
        )
    return "utf-8"
