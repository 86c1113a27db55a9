"""Probabilities that come true as often as they say, and how far they are from that."""

from tastemaker.retention.calibrate.calibrators import METHODS, Calibrator, fit_calibrator
from tastemaker.retention.calibrate.errors import calibration_error, murphy, smooth_error
from tastemaker.retention.calibrate.table import Calibration, calibration_table

__all__ = [
    "METHODS",
    "Calibration",
    "Calibrator",
    "calibration_error",
    "calibration_table",
    "fit_calibrator",
    "murphy",
    "smooth_error",
]
