"""What a search would find here: software, machine, storage, Ray, MLflow, and what it would choose by itself."""

from rebnn_search.doctor.examination import Places, examine
from rebnn_search.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "Places", "examine"]
