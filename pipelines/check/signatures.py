"""Image formats, told from the first bytes of a file, whatever its name says."""

from __future__ import annotations

HEAD = 16  # bytes that tell

# Of each format that DALI decodes: what its files begin with. WebP's name stands 8 bytes further on.
SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\x00", b"MM\x00*"),
    "WebP": (b"RIFF",),
    "PNM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}
WEBP = b"WEBP"

# What else is found under the name of an image.
OTHERS: dict[str, tuple[bytes, ...]] = {
    "a GIF, which DALI does not decode": (b"GIF8",),
    "a zip archive": (b"PK\x03\x04",),
    "a gzip archive": (b"\x1f\x8b",),
    "a PDF": (b"%PDF",),
    "an HTML or XML page": (b"<",),
    "a pointer of Git LFS, not the file itself": (b"version https://g",),
    "a NumPy array": (b"\x93NUMPY",),
}


def image_format(head: bytes) -> str | None:
    """The format of a file that begins with these bytes, HEAD of them or as many as it has; None for no image."""
    for name, starts in SIGNATURES.items():
        if head.startswith(starts) and (name != "WebP" or head[8:12] == WEBP):
            return name
    return None


def describe_head(head: bytes) -> str:
    """What a file is that is no image, for people."""
    if not head:
        return "an empty file"
    for name, starts in OTHERS.items():
        if head.lstrip().startswith(starts):
            return name
    if head[4:12] in (b"ftypheic", b"ftypavif", b"ftypmif1"):
        return "a HEIC or AVIF image, which DALI does not decode"
    if not head.strip(b"\x00"):
        return "zeros"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "a text"
    return f"no known image format (it begins with {head[:4].hex(' ')})"
