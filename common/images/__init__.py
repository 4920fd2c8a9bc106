"""Image files: what a header says, voxels in the file's own axis order, displacement fields. No network is needed."""

from common.images.fields import read_field, save_disp, save_field
from common.images.headers import Header, read_header
from common.images.volumes import Volume, read_volume, save_volume

__all__ = ["Header", "Volume", "read_field", "read_header", "read_volume", "save_disp", "save_field", "save_volume"]
