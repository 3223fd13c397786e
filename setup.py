"""What setuptools can not yet be told in pyproject.toml: the cffi module and the abi3 tag."""

import sysconfig

from setuptools import setup

# One wheel serves CPython 3.11 and later. Free-threaded builds have no stable ABI.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

setup(
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
