"""Files that people take for pictures and that are not read: what to do about each kind."""

_CONVERT = "convert such files to JPEG or PNG first, for example with: magick mogrify -format png '*{suffix}'"
_DEVELOP = "develop such files first, in darktable or RawTherapee, and save JPEG, PNG or TIFF"
_DRAW = "draw such files as PNG first, for example in Inkscape"
_CUT = "take pictures out of such files first, for example with: ffmpeg -i FILE -vf fps=1 %05d.png"
_KINDS = {
    _CONVERT: (
        ".heic .heif .hif .jxl .jxr .jp2 .j2k .jpf .jpx .psd .psb .xcf .tga .exr .hdr .dds .pcx .qoi .ico .icns "
        ".ppm .pgm .pbm .pnm .dcm .fits"
    ),
    _DEVELOP: ".dng .cr2 .cr3 .nef .nrw .arw .orf .rw2 .raf .pef .srw .x3f .3fr .raw",
    _DRAW: ".svg .svgz .eps .ai",
    _CUT: ".mp4 .mov .m4v .avi .mkv .webm .wmv .mpg .mpeg",
}
UNREAD_SUFFIXES = {suffix: advice for advice, suffixes in _KINDS.items() for suffix in suffixes.split()}

_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"heim": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
_HEADS = {b"\0\0\0\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000", b"8BPS": "Photoshop"}
_AVIF = (b"avif", b"avis")


def advice(suffix: str, count: int) -> str:
    """What to say of the first of `count` files with an unread suffix."""
    what = f"one of {count:,} {suffix} files, which are" if count > 1 else f"a {suffix} file, which is"
    return f"{what} not read; {UNREAD_SUFFIXES[suffix].format(suffix=suffix)}"


def content_reason(head: bytes, avif: bool) -> str:
    """Why a file that begins with these (16) bytes is no picture for us; `avif`: whether this Pillow reads AVIF."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _AVIF and not avif:
        return "AVIF is read with Pillow 11.3 or newer; pip install --upgrade pillow, or convert it to JPEG or PNG"
    name = _BRANDS.get(brand) or next((name for start, name in _HEADS.items() if head.startswith(start)), None)
    if name:
        return f"its content is {name}, which is not read; convert it to JPEG or PNG first"
    return f"not a picture: its content is no JPEG, PNG, WebP, BMP, GIF, TIFF{' or AVIF' if avif else ''}"
