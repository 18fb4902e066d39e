"""How far neurons have come to the principal subspace of the target, in any description."""

from meanfield.projection.alignment import Concentration as Concentration
from meanfield.projection.alignment import concentration as concentration
from meanfield.projection.curves import ConcentrationCurves as ConcentrationCurves
from meanfield.projection.curves import along as along
from meanfield.projection.curves import observables as observables
from meanfield.projection.perpendicular import PerpendicularOverlaps as PerpendicularOverlaps
from meanfield.projection.perpendicular import perpendicular_overlaps as perpendicular_overlaps
from meanfield.projection.reach import ReachTime as ReachTime
from meanfield.projection.reach import time_within as time_within
from meanfield.projection.subspace import SubspaceEstimate as SubspaceEstimate
from meanfield.projection.subspace import principal_angles as principal_angles
from meanfield.projection.subspace import subspace as subspace
