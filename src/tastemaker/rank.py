"""The name that `tastemaker.retention` had in version 0.1, for scripts that still use it."""

import sys
import warnings

import tastemaker.retention as retention

warnings.warn("tastemaker.rank is called tastemaker.retention now", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = retention
