"""Which description of a run holds: its numbers, its neighbours, its place in the plane."""

from meanfield.regimes.budgeting import Prediction as Prediction
from meanfield.regimes.budgeting import budget as budget
from meanfield.regimes.budgeting import predict as predict
from meanfield.regimes.budgets import Budget as Budget
from meanfield.regimes.budgets import Part as Part
from meanfield.regimes.comparison import compare as compare
from meanfield.regimes.comparison import four_regimes as four_regimes
from meanfield.regimes.diagnosis import Description as Description
from meanfield.regimes.diagnosis import Diagnosis as Diagnosis
from meanfield.regimes.diagnosis import Neglected as Neglected
from meanfield.regimes.diagnosis import diagnose as diagnose
from meanfield.regimes.diagram import Phase as Phase
from meanfield.regimes.diagram import PhaseDiagram as PhaseDiagram
from meanfield.regimes.diagram import phase_diagram as phase_diagram
from meanfield.regimes.distances import Comparison as Comparison
from meanfield.regimes.distances import RiskDistance as RiskDistance
