"""Boxes of a photo as PASCAL VOC's XML has them: pixels counted from 1, the last ones inside."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from wordmask.outputs.finished_run import RunPhoto


def box_xml(photo: RunPhoto, file_name: str, names: Sequence[str]) -> bytes:
    """The file in Annotations/.

    Args:
        photo: whose boxes.
        file_name: of the photo in JPEGImages/.
        names: of the classes, without background.
    """
    height, width = photo.size
    size = f"<width>{width}</width><height>{height}</height><depth>3</depth>"
    objects = "".join(_object(names[found.class_index], found.box, photo.size) for found in photo.objects)
    head = f"<folder>JPEGImages</folder>\n  <filename>{escape(file_name)}</filename>"
    return (
        f"<annotation>\n  {head}\n  <size>{size}</size>\n  <segmented>1</segmented>\n{objects}</annotation>\n"
    ).encode()


def _object(name: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = box
    cut = int(x0 == 0 or y0 == 0 or y1 == size[0] or x1 == size[1])
    corners = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    flags = f"<pose>Unspecified</pose><truncated>{cut}</truncated><difficult>0</difficult>"
    return f"  <object><name>{escape(name)}</name>{flags}<bndbox>{corners}</bndbox></object>\n"
