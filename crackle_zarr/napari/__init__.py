"""A reader for napari: Crackle Zarr arrays, OME-Zarr labels and Crackle files become layers of labels.

napari finds it by the entry point ``napari.manifest``, which names ``napari.yaml`` in this folder. Nothing
here imports napari.
"""
