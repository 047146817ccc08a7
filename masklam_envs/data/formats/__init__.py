"""Datasets of others: each module reads one layout episode by episode, and writes it where that makes sense.

* ``laom`` - HDF5 files of LAOM.
* ``huggingface`` - parquet rows of MaskLAM's datasets on the Hugging Face Hub.
* ``minari`` - datasets of Minari.
* ``lerobot`` - LeRobotDataset v3.0.
* ``folder`` - a video a clip, and its masks as PNG.

Packages are imported when a layout is used; the error names the extra to install.
"""

from masklam_envs.data.formats.convert import FORMATS, convert_dataset, detect_format, import_dataset
from masklam_envs.data.formats.episodes import Episode

__all__ = ["FORMATS", "Episode", "convert_dataset", "detect_format", "import_dataset"]
