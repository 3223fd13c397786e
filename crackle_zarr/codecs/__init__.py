"""The codecs of numcodecs and Zarr, their options, and arrays created with them."""
