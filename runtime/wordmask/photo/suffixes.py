"""Names: which files of a folder are taken for photos, and which folders hold none that are meant to be seen."""

from __future__ import annotations

# Lower case. What is read is known by its content: cameras and browsers write JPEGs under many of these names. Kinds
# that cannot be read are listed too: their photos are reported, not passed over in silence.
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "mpo", "jps", "insp", "png", "apng", "webp"),
        *("tif", "tiff", "bmp", "dib", "gif", "ppm", "pgm", "pbm", "pnm", "pam", "pfm", "avif", "avifs"),
        *("heic", "heif", "heics", "heifs", "hif", "jxl", "jp2", "j2k", "jpf", "jpx", "jpm", "j2c", "jpc", "jls"),
        *("jxr", "wdp", "hdp", "svg", "psd", "exr", "hdr", "tga", "ico", "pcx", "xcf", "qoi", "ktx", "dds", "bpg"),
        # camera raw
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "orf", "rw2", "rwl", "raf", "pef", "srw"),
        *("x3f", "3fr", "fff", "iiq", "erf", "kdc", "dcr", "mrw", "mef", "mos", "gpr", "raw"),
    )
)
# Besides all that begin with a dot: what network drives, archives and operating systems keep for themselves.
_SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "__macosx", "$recycle.bin"),
        *("system volume information", "lost+found"),
    )
)


def is_photo_name(name: str) -> bool:
    """Whether a file is taken for a photo."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and f"{dot}{suffix.lower()}" in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not meant to be seen: its photos are copies, previews or removed."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS
