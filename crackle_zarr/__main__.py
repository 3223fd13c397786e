"""``python -m crackle_zarr`` does what ``crackle-zarr`` does."""

from .cli import main

if __name__ == "__main__":
    main(program="python -m crackle_zarr")
