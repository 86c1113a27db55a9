"""SASRec, the sequential baseline every table quotes."""

from tastemaker.retrieve.sasrec.network import SASRec as SASRec
from tastemaker.retrieve.sasrec.network import SASRecSettings as SASRecSettings
from tastemaker.retrieve.sasrec.training import fit_sasrec as fit_sasrec
