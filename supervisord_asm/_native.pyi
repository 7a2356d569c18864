# The C library, built from native/ (see native/README.md). kernel/*.py are its only users and give
# each function its Python type there; here the two names that cffi exports.
from typing import Any

import cffi

ffi: cffi.FFI
lib: Any
