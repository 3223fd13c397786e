"""``python -m crackle_zarr`` runs the command ``crackle-zarr``."""

from .cli import main

if __name__ == "__main__":
    main(program="python -m crackle_zarr")
