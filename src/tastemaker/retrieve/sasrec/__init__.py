"""SASRec, the sequential baseline every table quotes."""

from tastemaker.retrieve.sasrec.network import SASRec, SASRecSettings
from tastemaker.retrieve.sasrec.training import HeldOut, fit_sasrec

__all__ = ["HeldOut", "SASRec", "SASRecSettings", "fit_sasrec"]
