"""What setuptools cannot yet be told in pyproject.toml: the cffi module and the abi3 tag."""

import sys
import sysconfig

from setuptools import setup

# One wheel serves CPython 3.11 and later. Free-threaded builds have no stable ABI before 3.15, and of debug
# builds cffi does not use it: the tag has to say what cffi does.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
debug = hasattr(sys, "gettotalrefcount")

setup(
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={} if free_threaded or debug else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
