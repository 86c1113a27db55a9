"""What calls cost: tokens, prices, limits, and the forecast of a run."""

from tastemaker.lm.calls.cost.budget import Budget, Limits, Price
from tastemaker.lm.calls.cost.forecast import Forecast, Measured, Meter, forecast
from tastemaker.lm.calls.cost.tokens import estimated_input, estimated_output, maximum

__all__ = [
    "Budget",
    "Forecast",
    "Limits",
    "Measured",
    "Meter",
    "Price",
    "estimated_input",
    "estimated_output",
    "forecast",
    "maximum",
]
