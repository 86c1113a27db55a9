"""What calls cost: tokens, prices, limits, and the forecast of a run."""

from tastemaker.chat.cost.budget import Budget, Limits, Price
from tastemaker.chat.cost.forecast import Forecast, Measured, Meter, forecast
from tastemaker.chat.cost.tokens import estimated_input, estimated_output, maximum

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
