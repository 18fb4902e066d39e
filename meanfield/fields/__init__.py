"""The field of a measure of neurons: its risk and the velocities it induces.

Three evaluators with one interface, `Field`: exact moments (square), pairs of neurons in closed
form (small n), and slices through a mesh (any n).
"""

from meanfield.fields.base import Field
from meanfield.fields.choose import choose_field

__all__ = ["Field", "choose_field"]
