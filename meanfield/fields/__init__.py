"""The field of a measure of neurons: its risk and the velocities it induces.

Evaluators with one interface, `Field`, among them exact moments (square), pairs of neurons in
closed form (small n), slices through a mesh (any n), and a mesh of directions (ReLU).
"""

from meanfield.fields.base import Field
from meanfield.fields.choose import check_evaluator, choose_field

__all__ = ["Field", "check_evaluator", "choose_field"]
