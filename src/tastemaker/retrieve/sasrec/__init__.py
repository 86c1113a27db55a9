"""SASRec, the sequential baseline every table quotes."""

from tastemaker.retrieve.sasrec.network import SASRec, SASRecSettings
from tastemaker.retrieve.sasrec.training import fit_sasrec

__all__ = ["SASRec", "SASRecSettings", "fit_sasrec"]
