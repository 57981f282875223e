"""Videos to shards: manifests, stages, the engine, the cache and their reader."""

import os as _os

__version__ = "0.2.0"

# Read by OpenCV when it is loaded. Damage of images is reported by our own errors, which name the
# file; and no header may make it allocate more than an image of 2 ** 27 pixels.
_os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
_os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
