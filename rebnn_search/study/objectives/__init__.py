"""What a trial can be judged by, and held to by a constraint, by name."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.study.objectives.base import (
    OBJECTIVES,
    BaseObjective,
    Direction,
    Goal,
    MeasuredNetwork,
    MeasuredObjective,
    ReportedObjective,
    goal_of,
    reported_names,
)

__all__ = [
    "OBJECTIVES",
    "BaseObjective",
    "Direction",
    "Goal",
    "MeasuredNetwork",
    "MeasuredObjective",
    "ReportedObjective",
    "goal_of",
    "reported_names",
]

import_modules(__name__)
