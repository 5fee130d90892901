"""What every part of a kind must keep to, as checks that a part's own tests can run: here, and in a package of yours.

A check takes what makes the part and raises AssertionError where it falls short. With pytest:

    @pytest.mark.parametrize("check", rebnn_search.testing.GAMMA_CHECKS, ids=lambda check: check.__name__)
    def test_it_is_a_gamma_strategy(check):
        check(MyStrategy)
"""

from rebnn_search.testing.augmentation import AUGMENTATION_CHECKS
from rebnn_search.testing.dataset import DATASET_CHECKS
from rebnn_search.testing.figure import FIGURE_CHECKS
from rebnn_search.testing.gamma import GAMMA_CHECKS
from rebnn_search.testing.model_format import MODEL_FORMAT_CHECKS
from rebnn_search.testing.network import NETWORK_CHECKS
from rebnn_search.testing.objective import OBJECTIVE_CHECKS
from rebnn_search.testing.optimizer import OPTIMIZER_CHECKS
from rebnn_search.testing.pause_rule import PAUSE_RULE_CHECKS
from rebnn_search.testing.pruner import PRUNER_CHECKS
from rebnn_search.testing.question import QUESTION_CHECKS
from rebnn_search.testing.sampler import SAMPLER_CHECKS
from rebnn_search.testing.scale_init import SCALE_INIT_CHECKS
from rebnn_search.testing.schedule import SCHEDULE_CHECKS
from rebnn_search.testing.teacher import TEACHER_CHECKS
from rebnn_search.testing.weights import WEIGHTS_CHECKS

__all__ = [
    "AUGMENTATION_CHECKS",
    "DATASET_CHECKS",
    "FIGURE_CHECKS",
    "GAMMA_CHECKS",
    "MODEL_FORMAT_CHECKS",
    "NETWORK_CHECKS",
    "OBJECTIVE_CHECKS",
    "OPTIMIZER_CHECKS",
    "PAUSE_RULE_CHECKS",
    "PRUNER_CHECKS",
    "QUESTION_CHECKS",
    "SAMPLER_CHECKS",
    "SCALE_INIT_CHECKS",
    "SCHEDULE_CHECKS",
    "TEACHER_CHECKS",
    "WEIGHTS_CHECKS",
]
